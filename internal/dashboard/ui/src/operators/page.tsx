// The operators' page: how everything stands, and what can be done about it.
import {useEffect} from 'react'
import {seesAll} from '../api'
import {Header} from '../header'
import {focusMain, useAnswer, useSession, useTitle} from '../hooks'
import {Link} from '../link'
import {Notice, Problem, Trouble} from '../parts'
import {hasGone, sharedKey, sitePath} from '../route'
import {KeyForm, SignIn} from '../signin'
import {Rebuilds} from './rebuilds'
import {Jobs} from './jobs'
import {Reconciliations} from './reconciliations'
import {Standing, Streams} from './standing'
import type {Job, Status} from './types'

export default function OperatorsPage() {
  const {session} = useSession()
  // What said that it was loading had the focus.
  useEffect(() => {
    if (hasGone()) focusMain()
  }, [])
  if (sharedKey()) return <Notice title="This link is for one site"><Link href={session.key ? sitePath(session.key.site) : '/'}>Show it</Link></Notice>
  if (session.operator || seesAll(session)) return <Page operator={session.operator} />
  return <>{session.key && <Header />}<SignIn operator /></>
}

function Page({operator}: {operator: boolean}) {
  useTitle('Operators · Daybook')
  const status = useAnswer<Status>(operator ? '/admin/status' : '/status', operator ? 2000 : 5000)
  return (
    <>
      <Header />
      <main id="main" className="page" tabIndex={-1} aria-busy={status.busy}>
        <h1>How everything stands</h1>
        {status.failure && <section className="card"><Problem failure={status.failure} again={status.again} /></section>}
        <Trouble asked={status} />
        {status.data && <>
          <Standing status={status.data} />
          {operator ? <Operated status={status.data} again={status.again} /> : <Overlooked status={status.data} />}
          <Streams status={status.data} />
        </>}
      </main>
    </>
  )
}

/** routine is about as many runs as a day has, so that those of a night are among them. */
const routine = 300

/** Operated is what operators see and do. */
function Operated({status, again}: {status: Status; again: () => void}) {
  const running = status.running_rebuilds.length > 0
  const rebuilds = useAnswer<Job[]>('/admin/rebuilds?limit=20', running ? 2000 : 10_000)
  const runs = useAnswer<Job[]>(`/admin/reconciliations?limit=${routine}`, 30_000)
  return (
    <>
      <section className="card stacked" aria-label="Rebuilds">
        <h2>Rebuilds</h2>
        {rebuilds.failure && <Problem failure={rebuilds.failure} again={rebuilds.again} />}
        <Trouble asked={rebuilds} />
        <Rebuilds jobs={rebuilds.data} now={status.time} again={() => { again(); rebuilds.again() }} />
      </section>
      <section className="card stacked" aria-label="Reconciliation">
        <h2>Reconciliation</h2>
        {runs.failure && <Problem failure={runs.failure} again={runs.again} />}
        <Trouble asked={runs} />
        {runs.data && <Reconciliations jobs={runs.data} now={status.time} />}
      </section>
    </>
  )
}

/** Overlooked is what others may see, which has no names. */
function Overlooked({status}: {status: Status}) {
  const {running_rebuilds: running, last_rebuild: last, last_check, last_nightly} = status
  const jobs = last && !running.some(job => job.id === last.id) ? [...running, last] : running
  return (
    <>
      <section className="card stacked" aria-label="Rebuilds">
        <h2>Rebuilds</h2>
        {jobs.length > 0 ? <Jobs caption="Rebuilds at work, and the last one" jobs={jobs} now={status.time} /> : <p className="hint">Nothing was rebuilt yet.</p>}
        <p>Whoever rebuilds days, sees all jobs and shares sites needs an admin key of all sites:</p>
        <KeyForm operator />
      </section>
      <section className="card stacked" aria-label="Reconciliation">
        <h2>Reconciliation</h2>
        <Reconciliations jobs={[last_check, last_nightly].filter(job => job !== null)} now={status.time} />
      </section>
    </>
  )
}
