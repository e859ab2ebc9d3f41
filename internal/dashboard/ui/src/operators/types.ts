// What is asked of /admin and /status. The meaning of each field is in
// docs/operations.md, and in the Go types of the same names.

export interface Status {
  time: string
  schema_version: number
  schema_latest: number
  /** Not there: a stream has not been looked at. */
  as_of?: string
  /** null where the queue is not known. */
  backlog: {events: number; bytes: number; seconds: number} | null
  streams: Stream[] | null
  dead_letters: number
  running_rebuilds: Job[]
  last_rebuild: Job | null
  last_check: Job | null
  last_nightly: Job | null
}

export interface Stream {
  epoch: number
  stream: string
  events: number
  bytes: number
  oldest_seconds: number
  as_of?: string
  owner: string
}

/** A rebuild, a change of a time zone, or a run of the scheduled reconciliation. */
export interface Job {
  id: string
  kind: 'rebuild' | 'timezone' | 'check' | 'nightly' | 'retention'
  spec: {
    site?: string
    from?: string
    to?: string
    dry_run?: boolean
    force?: boolean
    exact?: boolean
    sample?: number
    timezone?: string
  }
  by: string
  state: 'running' | 'stopped' | 'failed' | 'cancelled' | 'done'
  created: string
  updated: string
  seconds: number
  days: number
  finished: number
  events: number
  faulty: number
  rebuilt: number
  refused: number
  partial: number
  unreadable: number
  findings?: Finding[]
  error?: string
}

/** A day that was not right. */
export interface Finding {
  site: string
  date: string
  state: string
  rebuilt: boolean
  refused?: string
  differences?: {field: string; stored: string; true: string}[]
  more?: number
}

/** A running job without news for so long has lost its process, in milliseconds. */
const staleAfter = 60_000

/** stateOf gives the state of a job by the clock of the server. */
export const stateOf = (job: Job, now: string): Job['state'] | 'lost' =>
  job.state === 'running' && Date.parse(now) - Date.parse(job.updated) >= staleAfter ? 'lost' : job.state

/** isRight tells whether nothing has to be said of a run. */
export const isRight = (job: Job) =>
  (job.state === 'done' || job.state === 'running') && job.faulty === 0 && job.unreadable === 0
