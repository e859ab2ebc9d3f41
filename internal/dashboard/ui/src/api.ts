// What the report role answers, and how it is asked. The meaning of each field
// is in docs/api-report.md.
import {setServerTime} from './clock'
import {sharedKey} from './route'

/** Who asks, and what they may do. */
export interface Session {
  needs_key: boolean
  key: {id: string; scope: 'read' | 'admin'; site: string} | null
  operator: boolean
  ingest_url: string
  ingest_port: number
  ingest_needs_key: boolean
  version: string
}

/** seesAll tells whether somebody may ask about all sites. */
export const seesAll = (s: Session) => s.key ? s.key.site === '*' : !s.needs_key

interface About {
  site_id: string
  date?: string
  from?: string
  to?: string
  source: 'rollup' | 'raw' | 'mixed'
  timezone: string
}

/** A period, and beside it the one that it is compared with. */
type Compared<T, Change> = T & {compare?: T; change?: Change; as_of: string | null}

export interface Counts {
  events: number
  views: number
  users: number
  users_error: number
  /** null by hour: a visit belongs to a day. */
  visits: number | null
  visits_error: number | null
}

export interface Bucket extends Counts {
  start: string
}

type Interval = 'hour' | 'day' | 'week' | 'month'

export type Timeseries = Compared<
  About & {interval: Interval; total: Counts; buckets: Bucket[]},
  Record<'events' | 'views' | 'users' | 'visits', number | null>
>

export type Visits = Compared<
  About & {
    visits: number
    visits_error: number
    bounce_rate: number | null
    bounce_rate_error: number | null
    views_per_visit: number | null
    average_duration: number | null
    exact: boolean
  },
  Record<'visits' | 'bounce_rate' | 'views_per_visit' | 'average_duration', number | null>
>

export interface Row {
  value: string
  events?: number
  views?: number
  visits?: number
  count_error?: number
  visits_error?: number
  share: number
  users: number | null
  users_error: number | null
  users_at_most?: number
}

export type Breakdown = Compared<
  About & {
    dimension: string
    metric: 'events' | 'views' | 'visits'
    total: number
    other: number
    values: number
    exact: boolean
    floor: number
    rows: Row[]
  },
  {total: number | null}
>

export interface Stats extends About {
  total_views: number
  total_events: number
  bots: number
  as_of: string | null
}

export interface Realtime {
  last_5_minutes: {events: number; views: number; users: number}
  last_30_minutes: {events: number; views: number; users: number}
  complete: boolean
  includes_queue: boolean
}

export interface Sites {
  sites: (About & {events: number; views: number; users: number; users_error: number})[]
  more: boolean
}

export interface Key {
  id: string
  prefix: string
  site: string
  scope: string
  created: string
  revoked?: string
  note?: string
}

/** Why a question has no answer. */
export class Failure extends Error {
  /** status is that of HTTP; 0 where no server could be reached. */
  constructor(readonly status: number, message: string, readonly allowed = '') {
    super(message)
  }
}

/** An answer, and how old the numbers in it were when it came, in milliseconds. */
export interface Answer<T> {
  data: T
  age: number | null
}

type Parameters = Record<string, string | string[]>

export function question(path: string, parameters: Parameters): string {
  const q = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one) q.append(name, one)
  }
  return path + '?' + q
}

const contact = {lost: false, listeners: new Set<() => void>()}

function setLost(lost: boolean) {
  if (contact.lost === lost) return
  contact.lost = lost
  contact.listeners.forEach(tell => tell())
}

/** connection tells whether the last question reached a server. */
export const connection = {
  isLost: () => contact.lost,
  subscribe(listener: () => void) {
    contact.listeners.add(listener)
    return () => contact.listeners.delete(listener)
  }
}

interface Request {
  method?: string
  body?: unknown
  signal?: AbortSignal
  accept?: string
}

/** Failures that pass by themselves, so that what failed is asked again. */
export const passes = ({status}: Failure) => status === 0 || status === 408 || status === 429 || status >= 500

const unreachable = () => {
  setLost(true)
  return new Failure(0, 'The server cannot be reached')
}

/**
 * Filters have raw events counted, which a server does for few at a time: one
 * browser asks for one after the other, and leaves room for others.
 */
let counting: Promise<unknown> = Promise.resolve()

function inTurn<T>(ask: () => Promise<T>): Promise<T> {
  const mine = counting.then(ask)
  counting = mine.catch(() => undefined)
  return mine
}

/** patience is longer than any answer takes, in milliseconds. */
const patience = 60_000

/**
 * send asks the server, and gives its answer if that is a success. That the
 * server is there is known when the whole of it was read.
 */
async function send(url: string, {method = 'GET', body, signal, accept = 'application/json'}: Request): Promise<Response> {
  const key = sharedKey()
  let answer
  try {
    answer = await fetch(url, {
      method,
      signal: AbortSignal.any([AbortSignal.timeout(patience), ...signal ? [signal] : []]),
      headers: {
        Accept: accept,
        'Daybook-Dashboard': '1', // no other page can have a browser send it
        ...key && {Authorization: `Bearer ${key}`},
        ...body !== undefined && {'Content-Type': 'application/json'}
      },
      body: body === undefined ? undefined : JSON.stringify(body)
    })
  } catch (e) {
    if (signal?.aborted) throw e
    throw unreachable()
  }
  // What a proxy says whose server is away is no answer of ours.
  const away = [502, 503, 504].includes(answer.status) && !answer.headers.get('Content-Type')?.includes('json')
  if (away) throw unreachable()
  if (answer.ok) return answer
  setLost(false)
  const {error, allowed} = await answer.json().catch(() => ({})) as {error?: string; allowed?: string}
  throw new Failure(answer.status, error ?? `The server answered with status ${answer.status}`, allowed)
}

/** ask asks a question. A Failure tells why there is no answer. */
export async function ask<T>(url: string, request: Request = {}): Promise<Answer<T>> {
  const answer = await (url.includes('filter=') ? inTurn(() => send(url, request)) : send(url, request))
  const data = answer.status === 204 ? undefined : await answer.json().catch(e => {
    // It was cut off, or somebody between answered in the server's place.
    throw request.signal?.aborted ? e : unreachable()
  })
  setLost(false)
  // By the clock of the server: that of this machine may be wrong.
  const asOf = Date.parse(answer.headers.get('Daybook-As-Of') ?? '')
  const now = Date.parse(answer.headers.get('Date') ?? '') || Date.now()
  setServerTime(now)
  return {data: data as T, age: asOf ? Math.max(0, now - asOf) : null}
}

/** download saves the table of an answer as the server names it. */
export async function download(url: string): Promise<void> {
  const answer = await send(url, {accept: 'text/csv'})
  const table = await answer.blob().catch(() => {
    throw unreachable()
  })
  setLost(false)
  const name = /filename="([^"]+)"/.exec(answer.headers.get('Content-Disposition') ?? '')?.[1] ?? 'daybook.csv'
  const file = URL.createObjectURL(table)
  Object.assign(document.createElement('a'), {href: file, download: name}).click()
  // The browser has begun to read it by the next task at the latest.
  setTimeout(() => URL.revokeObjectURL(file), 1000)
}
