/**
 * The baseline: Apollo on Fastify with a type-graphql schema, all options at their defaults, and one mutation that does nothing.
 * It has its own types, so that none of this project's tuning affects it.
 */
import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { ApolloServer } from '@apollo/server';
import { fastifyApolloDrainPlugin, fastifyApolloHandler } from '@as-integrations/fastify';
import fastify from 'fastify';
import { GraphQLDateTime } from 'graphql-scalars';
import { Arg, buildSchema, Field, ID, InputType, Int, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { newId } from '../../database/ids';
import { followParent, orSayWhy, tell } from './parent';

@ObjectType()
class Money {
  @Field(() => Int)
  amountMinor!: number;

  @Field(() => String)
  currency!: string;
}

@ObjectType()
class Hold {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  status!: string;

  @Field(() => Int)
  quantity!: number;

  @Field(() => Money)
  total!: Money;

  @Field(() => GraphQLDateTime)
  expiresAt!: Date;
}

@ObjectType()
class UserError {
  @Field(() => String)
  code!: string;

  @Field(() => String)
  message!: string;
}

@ObjectType()
class HoldPayload {
  @Field(() => Hold, { nullable: true })
  hold!: Hold | null;

  @Field(() => [UserError])
  userErrors!: UserError[];
}

@InputType()
class CreateHoldInput {
  @Field(() => ID)
  productId!: string;

  @Field(() => Int, { defaultValue: 1 })
  quantity!: number;

  @Field(() => String, { nullable: true })
  idempotencyKey?: string | null;
}

const nothing: Hold = {
  id: newId(),
  status: 'ACTIVE',
  quantity: 1,
  total: { amountMinor: 4_999, currency: 'USD' },
  expiresAt: new Date(),
};

@Resolver()
class NoopResolver {
  @Query(() => Boolean)
  ok(): boolean {
    return true;
  }

  @Mutation(() => HoldPayload)
  noop(@Arg('input', () => CreateHoldInput) _input: CreateHoldInput): HoldPayload {
    return { hold: nothing, userErrors: [] };
  }

  @Mutation(() => Boolean)
  bareNoop(): boolean {
    return true;
  }
}

void orSayWhy(async () => {
  const http = fastify();
  const apollo = new ApolloServer({
    schema: await buildSchema({ resolvers: [NoopResolver] }),
    plugins: [fastifyApolloDrainPlugin(http)],
    stopOnTerminationSignals: false,
  });
  await apollo.start();
  http.route({ url: '/graphql', method: ['GET', 'POST', 'OPTIONS'], handler: fastifyApolloHandler(apollo) });
  await http.listen({ host: '127.0.0.1', port: 0 });
  followParent(() => apollo.stop());
  tell({ kind: 'ready', port: (http.server.address() as AddressInfo).port });
});
