// Rebuilding days: the form that begins it, and the jobs that do it.
import {useState, type FormEvent} from 'react'
import {ask} from '../api'
import {useAction, useAnswer} from '../hooks'
import {Dialog} from '../parts'
import {Jobs} from './jobs'
import {stateOf, type Job} from './types'

/** Rebuilds shows jobs, newest first, and begins others; again has all of it read anew. */
export function Rebuilds({jobs, now, again}: {jobs?: Job[]; now: string; again: () => void}) {
  const {busy, problem, act} = useAction()
  const change = (job: Job, path: string, method: string) => act(async () => {
    await ask(`/admin/rebuilds/${encodeURIComponent(job.id)}${path}`, {method})
    again()
  })
  const actions = (job: Job) => {
    switch (stateOf(job, now)) {
      case 'running':
        return <button type="button" disabled={busy} onClick={() => change(job, '', 'DELETE')}>Cancel</button>
      case 'stopped': case 'failed': case 'lost':
        return <button type="button" disabled={busy} onClick={() => change(job, '/resume', 'POST')}>Resume</button>
      default:
        return null
    }
  }
  return (
    <>
      <RebuildForm begun={again} />
      <p role="alert" className="problem">{problem}</p>
      {jobs?.length === 0 && <p className="hint">Nothing was rebuilt yet.</p>}
      {jobs && jobs.length > 0 && <Jobs caption="Jobs that rebuild days" jobs={jobs} now={now} actions={actions} />}
    </>
  )
}

interface Wanted {
  site?: string
  all?: boolean
  from?: string
  to?: string
  dry_run: boolean
  force: boolean
  exact: boolean
}

function RebuildForm({begun}: {begun: () => void}) {
  const sites = useAnswer<{site: string}[]>('/admin/sites')
  const [all, setAll] = useState(false)
  const [confirm, setConfirm] = useState<Wanted>()
  const [said, setSaid] = useState('')
  const {busy, problem, act} = useAction()
  const start = (body: Wanted) => {
    setConfirm(undefined)
    setSaid('')
    void act(async () => {
      await ask('/admin/rebuilds', {method: 'POST', body})
      setSaid('The rebuild has begun: it is the first job below.')
      begun()
    })
  }
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    const text = (name: string) => String(form.get(name) ?? '').trim() || undefined
    const body: Wanted = {
      ...all ? {all} : {site: text('site')},
      from: text('from'), to: text('to'),
      dry_run: form.has('dry_run'), force: form.has('force'), exact: form.has('exact')
    }
    if (body.force && !body.dry_run) setConfirm(body)
    else start(body)
  }
  return (
    <form className="stack rebuild" onSubmit={submit}>
      <p>Days are counted anew from their raw events, and what differs is replaced. It may be done at any time.</p>
      <div className="row">
        <label>Site <input name="site" list="sites" required={!all} disabled={all} autoComplete="off" spellCheck={false} /></label>
        <datalist id="sites">{sites.data?.map(({site}) => <option key={site} value={site} />)}</datalist>
        <label><input type="checkbox" checked={all} onChange={e => setAll(e.target.checked)} /> All sites</label>
        <label>From <input type="date" name="from" /></label>
        <label>to <input type="date" name="to" /></label>
      </div>
      <p className="hint">Without dates it is all days that there are.</p>
      <Choice name="dry_run" label="Dry run" hint="Only tells what would change." />
      <Choice name="exact" label="Exact" hint="Also rebuilds days that are right but of which a table has overflowed, so that its counts become exact." />
      <Choice name="force" label="Force" hint="Also replaces rollups that count more than the raw events that are there: counts may get lost." />
      <p role="alert" className="problem">{problem}</p>
      <div className="row">
        <button type="submit" className="primary" disabled={busy}>Rebuild</button>
        <span role="status">{said}</span>
      </div>
      {confirm && (
        <Dialog title="Rebuild by force?" close={() => setConfirm(undefined)}>
          <p>Where raw events are gone, what was counted of them is lost for good on {confirm.all ? 'all sites' : confirm.site}{days(confirm)}. A dry run tells what would change.</p>
          <div className="row">
            <button type="button" className="primary" onClick={() => start(confirm)}>Rebuild by force</button>
            <button type="button" onClick={() => setConfirm(undefined)}>Leave it</button>
          </div>
        </Dialog>
      )}
    </form>
  )
}

const days = ({from, to}: Wanted) => (from ? ` from ${from}` : '') + (to ? ` until ${to}` : '')

function Choice({name, label, hint}: {name: string; label: string; hint: string}) {
  return (
    <div className="choice">
      <label><input type="checkbox" name={name} aria-describedby={`${name}-help`} /> {label}</label>
      <span className="hint" id={`${name}-help`}>{hint}</span>
    </div>
  )
}
