// What the workers have checked and mended by themselves.
import {count, time} from '../format'
import {Jobs} from './jobs'
import {Fact} from './standing'
import {isRight, stateOf, type Job} from './types'

/** newest is how many runs are listed whatever they have found. */
const newest = 10

const kinds = {check: 'Last check of recent days', nightly: 'Last nightly check', retention: 'Last retention'}

/** Reconciliations lists runs, newest first. Checks that found all right are soon left out. */
export function Reconciliations({jobs, now}: {jobs: Job[]; now: string}) {
  if (jobs.length === 0) {
    return <p className="hint">Nothing was reconciled yet: workers check recent days every five minutes and yesterday at 3:17 UTC, unless <code>--check-schedule</code> and <code>--nightly-schedule</code> say otherwise.</p>
  }
  return (
    <>
      <dl className="facts">
        {Object.entries(kinds).map(([kind, name]) => {
          const last = jobs.find(job => job.kind === kind)
          return last && <Fact key={kind} name={name} value={result(last, now)} alert={!isRight(last)}>{time(last.created)}</Fact>
        })}
      </dl>
      <Jobs caption="The newest runs, and those before them that were not routine" now={now}
        jobs={jobs.filter((job, i) => i < newest || job.kind !== 'check' || !isRight(job))} />
    </>
  )
}

function result(job: Job, now: string): string {
  const state = stateOf(job, now)
  if (state !== 'done') return state
  if (job.unreadable > 0) return `${count(job.unreadable)} not readable`
  if (job.faulty > 0) return `${count(job.faulty)} not right, ${count(job.rebuilt)} mended`
  return 'all right'
}
