// What is chosen of a site's page but filters: site, period, comparison, and
// how long a bucket of the chart is.
import {useRef, useState, type FormEvent} from 'react'
import {question, seesAll, type Sites, type Timeseries} from '../api'
import {today} from '../clock'
import {addDays, dates} from '../format'
import {useAnswer, useSession} from '../hooks'
import {Link} from '../link'
import {go, sharedKey, viewPath, type View} from '../route'

const periods = {today: 'Today', yesterday: 'Yesterday', '7d': '7 days', '30d': '30 days', month: 'Month', year: 'Year', all: 'All'}

/** reset is what does not outlive another choice of days. */
const reset = {interval: '', detail: '', page: 1}

/** spanOf gives the first and the last day of an answer; null if it has none. */
export const spanOf = (s: Pick<Timeseries, 'date' | 'from' | 'to'>) => s.date ? [s.date, s.date] as const : s.from && s.to ? [s.from, s.to] as const : null

export function PeriodPicker({view, series}: {view: View; series?: Timeseries}) {
  const span = series && spanOf(series)
  const [open, setOpen] = useState(false)
  const custom = useRef<HTMLButtonElement>(null)
  const choose = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    const [from = '', to = ''] = [String(form.get('from')), String(form.get('to'))].sort()
    setOpen(false)
    custom.current!.focus()
    go(viewPath({...view, ...reset, period: '', from, to}))
  }
  return (
    <nav aria-label="Period" className="periods">
      <ul>
        {Object.entries(periods).map(([word, name]) => (
          <li key={word}>
            <Link href={viewPath({...view, ...reset, period: word, from: '', to: ''})} aria-current={view.period === word ? 'true' : undefined}>{name}</Link>
          </li>
        ))}
        <li>
          <button ref={custom} type="button" aria-expanded={open} aria-current={view.period ? undefined : 'true'} onClick={() => setOpen(!open)}>Custom</button>
        </li>
      </ul>
      {open && (
        <form className="row" onSubmit={choose}>
          <label>From <input type="date" name="from" required defaultValue={span?.[0]} /></label>
          <label>to <input type="date" name="to" required defaultValue={span?.[1]} /></label>
          <button type="submit" className="primary">Show</button>
        </form>
      )}
      {span && <Span view={view} span={span} timezone={series.timezone} />}
    </nav>
  )
}

/** Span shows which days these are, and leads to as many before and behind them. */
function Span({view, span: [from, to], timezone}: {view: View; span: readonly [string, string]; timezone: string}) {
  const length = Math.round((Date.parse(to) - Date.parse(from)) / 86_400_000) + 1
  const shifted = (by: number) => viewPath({...view, ...reset, period: '', from: addDays(from, by), to: addDays(to, by)})
  return (
    <p className="span">
      <Link href={shifted(-length)} aria-label="Earlier" title="Earlier">‹</Link>
      <span>{dates(from, to)}</span>
      {to < today(timezone) && <Link href={shifted(length)} aria-label="Later" title="Later">›</Link>}
    </p>
  )
}

export function ComparePicker({view}: {view: View}) {
  return (
    <label className="row">
      Compare with
      <select value={view.compare} onChange={e => go(viewPath({...view, compare: e.target.value}))}>
        <option value="">nothing</option>
        <option value="previous">the period before</option>
        <option value="year">a year earlier</option>
        {!['', 'previous', 'year'].includes(view.compare) && <option>{view.compare}</option>}
      </select>
    </label>
  )
}

/** maxBuckets is the most that the API gives. */
const maxBuckets = 2400

export function IntervalPicker({view, series}: {view: View; series: Timeseries}) {
  const span = spanOf(series)
  const days = span ? Math.round((Date.parse(span[1]) - Date.parse(span[0])) / 86_400_000) + 1 : 1
  const useful = {hour: days * 24 <= maxBuckets, day: days <= maxBuckets, week: days > 7, month: days > 31}
  return (
    <label className="row">
      By
      <select value={series.interval} onChange={e => go(viewPath({...view, interval: e.target.value}))}>
        {Object.entries(useful).filter(([name, is]) => is || name === series.interval).map(([name]) => <option key={name}>{name}</option>)}
      </select>
    </label>
  )
}

/** listed is how many sites are listed; there is a page with all of them. */
const listed = 100

export function SitePicker({view}: {view: View}) {
  const {session} = useSession()
  const mayChoose = seesAll(session) && !sharedKey()
  const {data} = useAnswer<Sites>(mayChoose ? question('/stats/sites', {period: 'today', limit: String(listed)}) : null)
  if (!mayChoose) return <strong className="site">{view.site}</strong>
  const names = new Set([view.site, ...data?.sites.map(s => s.site_id) ?? []])
  const choose = (site: string) => go(site ? viewPath({...view, site, filters: [], tabs: {}, detail: '', page: 1}) : '/')
  return (
    <select className="site" aria-label="Site" value={view.site} onChange={e => choose(e.target.value)}>
      {[...names].sort().map(name => <option key={name}>{name}</option>)}
      <option value="">All sites …</option>
    </select>
  )
}

