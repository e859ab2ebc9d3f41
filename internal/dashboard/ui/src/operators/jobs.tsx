// The table of jobs: those of people, and those of the workers themselves.
import {useState, type ReactNode} from 'react'
import {count, span, time} from '../format'
import {stateOf, type Finding, type Job} from './types'

const columns = ['Events', 'Not right', 'Mended', 'Left alone', 'Partial']

/** Jobs lists jobs; actions gives what can be done with one. */
export function Jobs({caption, jobs, now, actions}: {caption: string; jobs: Job[]; now: string; actions?: (job: Job) => ReactNode}) {
  const width = 3 + columns.length + (actions ? 1 : 0)
  return (
    <div className="scroll" role="region" aria-label={caption} tabIndex={0}>
      <table className="jobs">
        <caption className="unseen">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">State</th>
            <th scope="col">Days</th>
            {columns.map(name => <th key={name} scope="col" className="number">{name}</th>)}
            {actions && <th scope="col"><span className="unseen">Actions</span></th>}
          </tr>
        </thead>
        <tbody>
          {jobs.map(job => <JobRow key={job.id} job={job} now={now} width={width} actions={actions?.(job)} />)}
        </tbody>
      </table>
    </div>
  )
}

function JobRow({job, now, width, actions}: {job: Job; now: string; width: number; actions?: ReactNode}) {
  const [open, setOpen] = useState(false)
  const state = stateOf(job, now)
  const findings = job.findings ?? []
  return (
    <>
      <tr>
        <th scope="row">
          {what(job)}
          <div className="hint">{time(job.created)}{job.by && `, by ${job.by}`}</div>
        </th>
        <td>
          {states[state]}
          {job.error && <div className="problem free">{job.error}</div>}
          {findings.length > 0 && (
            <button type="button" className="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
              {findings.length === 1 ? '1 day' : `${findings.length} days`} in detail
            </button>
          )}
        </td>
        <td className="tight"><Progress job={job} running={state === 'running'} /></td>
        <td className="number">{count(job.events)}</td>
        <td className="number">{count(job.faulty)}</td>
        <td className="number">{count(job.rebuilt)}{job.spec.dry_run && job.rebuilt > 0 && <div className="hint">would be</div>}</td>
        <td className="number">{count(job.refused)}</td>
        <td className="number">{count(job.partial)}</td>
        {actions !== undefined && <td>{actions}</td>}
      </tr>
      {open && <tr><td colSpan={width}><Findings findings={findings} dryRun={job.spec.dry_run} /></td></tr>}
    </>
  )
}

const states = {
  running: 'running',
  stopped: 'stopped with its process',
  failed: 'failed',
  cancelled: 'cancelled',
  done: 'done',
  lost: 'lost: no news for a minute'
}

/** what says what a job does. Where names are left out, none of a site is not all of them. */
function what({kind, spec, by}: Job): string {
  const days = spec.from && spec.to ? `${spec.from} to ${spec.to}` : spec.from ? `from ${spec.from}` : spec.to ? `until ${spec.to}` : ''
  switch (kind) {
    case 'check': return 'Check of recent days'
    case 'nightly': return spec.sample ? 'Nightly check of some older days' : 'Nightly check of the last day'
    case 'retention': return 'Retention'
    case 'timezone': return ['Time zone', spec.site, spec.timezone && `to ${spec.timezone}`].filter(Boolean).join(' ')
  }
  const how = [spec.dry_run && 'dry run', spec.force && 'force', spec.exact && 'exact'].filter(Boolean).join(', ')
  return ['Rebuild', spec.site ?? (by && 'all sites'), days].filter(Boolean).join(' ') + (how && ` (${how})`)
}

/** Progress tells how far a job is, and how long it takes. */
function Progress({job, running}: {job: Job; running: boolean}) {
  const text = `${count(job.finished)} of ${count(job.days)} ${job.days === 1 ? 'day' : 'days'}`
  return (
    <>
      {running && <progress aria-label={what(job)} aria-valuetext={text} value={job.days ? job.finished : undefined} max={job.days || undefined} />}
      <div>{text}</div>
      <div className="hint">{span(job.seconds)}{job.unreadable > 0 && `, ${count(job.unreadable)} not readable`}</div>
    </>
  )
}

/** Findings tells what was wrong with the days of a job, and whether it still is. */
function Findings({findings, dryRun}: {findings: Finding[]; dryRun?: boolean}) {
  return (
    <table>
      <caption className="unseen">What was not right</caption>
      <thead><tr><th scope="col">Site</th><th scope="col">Date</th><th scope="col">State</th><th scope="col">Differences</th></tr></thead>
      <tbody>
        {findings.map(f => (
          <tr key={`${f.site} ${f.date}`}>
            <th scope="row" className="free">{f.site}</th>
            <td className="tight">{f.date}</td>
            <td>{f.state}{f.rebuilt && (dryRun ? ', would be mended' : ', mended')}{f.refused && `, left alone: ${f.refused}`}</td>
            <td>
              <ul className="plain free">
                {f.differences?.map(d => <li key={d.field}>{d.field}: {d.stored} is stored, {d.true} is true</li>)}
                {f.more ? <li>and {count(f.more)} more</li> : null}
              </ul>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
