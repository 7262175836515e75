/** `@ObjectType` for classes whose fields are plain properties. */
import { ObjectType } from 'type-graphql';

/** graphql reads the properties itself, which saves type-graphql's call and closure for each field. */
export const PlainObject = (options: { readonly description?: string } = {}) =>
  ObjectType({ simpleResolvers: true, ...options });
