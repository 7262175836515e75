/** Documents made to hurt, and the code of each: the same table for every door. */

/** The product of those that would hold a unit: it is there, so whatever is executed is seen. */
export const ATTACKED = '01930000-0000-7000-8000-00000000a77c';

export const times = (count: number, part: (index: number) => string) =>
  Array.from({ length: count }, (_, i) => part(i)).join(' ');
const nested = (depth: number) =>
  `{ ${'order(id: "x") { lines { hold { '.repeat(depth / 3)} id ${'} } }'.repeat(depth / 3)} }`;
const holdAs = (name: string) => `${name}: createHold(input: { productId: "${ATTACKED}" }) { hold { id } }`;

const PARSE = 'GRAPHQL_PARSE_FAILED';
const INPUT = 'BAD_USER_INPUT';
const INVALID = 'GRAPHQL_VALIDATION_FAILED';

/** Name, text and expected code of each attack; BAD_REQUEST means that it is refused unread. */
export const ATTACKS: [string, string, string][] = [
  ['20,000 aliases', `{ ${times(20_000, (i) => `a${i}: __typename`)} }`, 'BAD_REQUEST'],
  ['10,000 aliases', `{ ${times(10_000, (i) => `a${i}: __typename`)} }`, PARSE],
  ['10,000 directives', `{ serverTime ${'@include(if: true) '.repeat(10_000)} }`, PARSE],
  ['1,200 aliases', `{ ${times(1_200, (i) => `a${i}: __typename`)} }`, PARSE],
  ['300 aliases', `{ ${times(300, (i) => `a${i}: __typename`)} }`, INPUT],
  ['51 aliases', `{ ${times(51, (i) => `a${i}: __typename`)} }`, INPUT],
  ['5,000 aliased mutations', `mutation { ${times(5_000, (i) => holdAs(`a${i}`))} }`, 'BAD_REQUEST'],
  ['1,000 aliased mutations', `mutation { ${times(1_000, (i) => holdAs(`a${i}`))} }`, PARSE],
  ['100 aliased mutations', `mutation { ${times(100, (i) => holdAs(`a${i}`))} }`, PARSE],
  ['50 aliased mutations', `mutation { ${times(50, (i) => holdAs(`a${i}`))} }`, INPUT],
  ['4 mutations', `mutation { ${times(4, (i) => holdAs(`a${i}`))} }`, INPUT],
  [
    '4 mutations in fragments',
    `mutation { ...A ...B } fragment A on Mutation { ${holdAs('a')} ${holdAs('b')} } fragment B on Mutation { ${holdAs('c')} ... on Mutation { ${holdAs('d')} } }`,
    INPUT,
  ],
  ['depth 20,000', nested(21_000), 'BAD_REQUEST'],
  ['depth 501', nested(501), PARSE],
  ['depth 15', nested(15), INPUT],
  ['brackets 20,000 deep', '{'.repeat(20_000), PARSE],
  ['lists 20,000 deep', `{ product(id: ${'['.repeat(20_000)}) { id } }`, PARSE],
  ['a cycle of fragments', '{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }', INVALID],
  ['a fragment in itself', '{ product(id: "x") { ...A } } fragment A on Product { id ...A }', INVALID],
  [
    'a bomb of 2^70 fields',
    `{ ...F0 } ${times(70, (i) => `fragment F${i} on Query { ...F${i + 1} ...F${i + 1} }`)} fragment F70 on Query { serverTime }`,
    INPUT,
  ],
  [
    'a bomb of lists in 20 fragments',
    `{ order(id: "x") { ...F0 } } ${times(20, (i) => `fragment F${i} on Order { lines { hold { order { ...F${i + 1} } } } }`)} fragment F20 on Order { id }`,
    INPUT,
  ],
  ['1,500 directives', `{ serverTime ${'@include(if:true)'.repeat(1_500)} }`, PARSE],
  ['100 directives', `{ serverTime ${'@include(if: true) '.repeat(100)} }`, INPUT],
  ['990 times the same field', `{ ${'serverTime '.repeat(990)} }`, INPUT],
  ['110 times the same field with an argument', `{ ${'hold(id: "a") { id } '.repeat(110)} }`, INPUT],
  [
    '80 fragments',
    `{ ${times(80, (i) => `...F${i}`)} } ${times(80, (i) => `fragment F${i} on Query { serverTime }`)}`,
    INPUT,
  ],
  [
    '30 pages of 100',
    `{ ${times(30, (i) => `p${i}: products(first: 100) { ...P }`)} } fragment P on ProductConnection { edges { node { ${times(8, (i) => `${['id', 'sku', 'name', 'description', 'totalStock', 'saleStatus', 'saleStartsAt', 'saleEndsAt'][i]}`)} } } }`,
    INPUT,
  ],
  [
    '30 pages whose size is a variable',
    `query A($n: Int!) { ${times(30, (i) => `p${i}: products(first: $n) { ...P }`)} } fragment P on ProductConnection { edges { node { id sku name totalStock saleStatus availableStock } } }`,
    INPUT,
  ],
  ['990 fields nobody knows', `{ ${times(990, (i) => `a${i}`)} }`, INVALID],
  ['introspection', '{ __schema { types { name } } }', INVALID],
  ['introspection of a type', '{ __type(name: "Query") { fields { name } } }', INVALID],
  ['a megabyte of comment', `#${'x'.repeat(1_000_000)}\n{ serverTime }`, 'BAD_REQUEST'],
];
