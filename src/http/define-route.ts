/**
 * Declares routes as data. register-route.ts makes a Fastify route of each declaration, and openapi/ its part
 * of the document. The handler gets what was negotiated, with types from the declaration.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { ErrorCode } from '../core/errors.ts'
import type { Precondition } from '../core/types.ts'
import type { HttpContext } from './context.ts'
import type { Format } from './negotiate.ts'

/** The permission that a request needs. `open` needs no key. */
export type Scope = 'read' | 'write' | 'admin' | 'open'

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'QUERY'

/** A format of answers. `html` is for pages that people read. */
export type AnswerFormat = Format | 'html'

/** The formats in which a route reads bodies. */
export interface BodyFormats {
  /** The formats that are read as a whole, into a Buffer of at most `bodyBytesMax` bytes. */
  whole?: readonly Format[]
  /** The formats that the handler gets as chunks while they arrive, at any length. */
  streamed?: readonly Format[]
  /**
   * Whether whole bodies of announced length are collected in the arena, where kernels and the writer read
   * them.
   */
  inArena?: boolean
}

/** The bodies of a route: `nothing` refuses any, `bytes` streams one of any type. */
export type Accepts = 'nothing' | 'bytes' | BodyFormats

type Chunks = AsyncIterable<Uint8Array>
type Member<Accepted, Name extends keyof BodyFormats> =
  Accepted extends Record<Name, readonly (infer F)[]> ? F : never
type BodyOf<Accepted> = Accepted extends 'bytes'
  ? Chunks
  :
      | (Accepted extends { whole: readonly Format[] } ? Buffer : never)
      | (Accepted extends { streamed: readonly Format[] } ? Chunks : never)
type FormatOf<Accepted> = Member<Accepted, 'whole'> | Member<Accepted, 'streamed'>

/** A request that has passed every check that its route declares. */
export interface RouteCall<Params, Query, Accepted, Answered> {
  params: Params
  query: Query
  body: BodyOf<Accepted>
  /** The format that the body came in. */
  bodyFormat: FormatOf<Accepted>
  /** The format to answer in. Not set where the handler negotiates. */
  encoding: Answered
  /** `If-Match` and `If-None-Match`; empty unless the route is conditional. */
  precondition: Precondition
  /** `Idempotency-Key`; undefined unless the route is idempotent. */
  idempotencyKey: string | undefined
  /** The sha-256 of `Content-Digest`; undefined unless the route verifies it. */
  digest: Uint8Array | undefined
  request: FastifyRequest
  reply: FastifyReply
}

/** Everything that the service knows of a route, and its handler. */
export interface RouteDeclaration<
  Params extends TSchema = TSchema,
  Query extends TSchema = TSchema,
  Accepted extends Accepts = Accepts,
  Answered extends AnswerFormat = AnswerFormat,
> {
  method: Method | readonly Method[]
  url: string
  scope: Scope
  /** The section of the document. A route without one is not shown. */
  tag?: string
  /** The name of the operation in the document, after which generators name their functions. */
  operationId?: string
  summary: string
  description?: string
  params?: Params
  query?: Query
  /** The body as the document shows it. */
  bodySchema?: TSchema
  /** The answers by status, as the document shows them. */
  response: Readonly<Record<number, TSchema>>
  /** The bodies that the route accepts. Absent for methods whose body Fastify never reads, such as GET. */
  accepts?: Accepted
  bodyBytesMax?: number
  /** The formats of answers, best first. Empty if `Accept` has nothing to choose from. */
  answers: readonly Answered[]
  /** The choice among `answers` by `Accept` is the declaration's (default), the handler's, or none. */
  negotiation?: 'declared' | 'handler' | 'none'
  /** The errors of this route, without those of every route and those that follow from the other members. */
  errors: readonly ErrorCode[]
  /** Refuses the request once `X-Request-Timeout-Ms` has passed. Without it the header is only checked. */
  deadline?: boolean
  /** Takes `If-Match` and `If-None-Match`. */
  conditional?: boolean
  /** Takes an `Idempotency-Key`. */
  idempotent?: boolean
  /** Takes a `Content-Digest`. */
  verifiesDigest?: boolean
  /** Answers carry `ETag`, `X-Table-Version` and `X-Table-Sequence`. */
  answersState?: boolean
  /** Whether the route answers while tables are being loaded. */
  whileLoading?: boolean
  /** Whether HEAD has a declaration of its own; otherwise Fastify adds it beside GET. */
  ownHead?: boolean
  handler(context: HttpContext, call: RouteCall<Static<Params>, Static<Query>, Accepted, Answered>): unknown
}

/** Any route, for lists of them. */
export type Route = RouteDeclaration

/** Declares a route. The declaration gives the handler its types. */
export const defineRoute = <
  Params extends TSchema,
  Query extends TSchema,
  const Accepted extends Accepts,
  const Answered extends AnswerFormat,
>(
  declaration: RouteDeclaration<Params, Query, Accepted, Answered>,
): Route => declaration as Route

/** The methods of a route, one or several. */
export const methodsOf = ({ method }: Pick<Route, 'method'>): readonly string[] =>
  typeof method === 'string' ? [method] : method

/** The formats in which a route reads bodies, in the order that the document lists them. */
export const formatsOf = ({ accepts }: Pick<Route, 'accepts'>): readonly Format[] =>
  typeof accepts === 'object' ? [...(accepts.whole ?? []), ...(accepts.streamed ?? [])] : []
