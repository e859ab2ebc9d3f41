// The numbers of a period, each with how it has changed.
import type {ReactNode} from 'react'
import type {Counts, Timeseries, Visits} from '../api'
import {average, count, percent, span} from '../format'
import type {Asked} from '../hooks'
import {Link} from '../link'
import {Change, Estimate} from '../parts'
import {viewPath, type Metric, type View} from '../route'

export const metrics: Record<Metric, string> = {users: 'Visitors', visits: 'Visits', views: 'Page views', events: 'Events'}

/** errorOf gives the standard error of a number; events and views are exact. */
export const errorOf = (c: Counts, metric: Metric) => metric === 'users' ? c.users_error : metric === 'visits' ? c.visits_error : 0

/** shownMetric is what the chart shows: by hour there are no visits. */
export const shownMetric = (view: View, series: Timeseries): Metric =>
  view.metric === 'visits' && series.interval === 'hour' ? 'users' : view.metric

export function Headline({view, series, visits}: {view: View; series: Timeseries; visits: Asked<Visits>}) {
  const before = series.compare?.total
  const v = visits.failure || visits.busy ? undefined : visits.data
  // By hour the time series has no visits, the period has.
  const numbers = (c: Counts, of?: Visits | Visits['compare']): Counts => ({...c, visits: of?.visits ?? c.visits, visits_error: of?.visits_error ?? c.visits_error})
  const now = numbers(series.total, v)
  const other = before && numbers(before, v?.compare)
  return (
    <ul className="headline">
      {(Object.keys(metrics) as Metric[]).map(metric => {
        const shown = (
          <Number label={metrics[metric]} now={now[metric]} before={other?.[metric]}
            share={(metric === 'visits' ? v?.change?.visits ?? series.change?.visits : series.change?.[metric]) ?? undefined}
            write={(n, of) => n === null ? '–' : <Estimate value={n} error={errorOf(of === 'now' ? now : other!, metric)} />} />
        )
        const chosen = shownMetric(view, series) === metric
        return (
          <li key={metric}>
            {metric === 'visits' && series.interval === 'hour' ? shown
              : <Link href={viewPath({...view, metric})} aria-current={chosen ? 'true' : undefined} title="Show it in the chart">{shown}</Link>}
          </li>
        )
      })}
      {averages.map(({name, label, write, lessIsGood, error}) => (
        <li key={name}>
          <Number label={label} now={v?.[name] ?? null} before={v?.compare?.[name]} share={v?.change?.[name] ?? undefined} lessIsGood={lessIsGood}
            write={(n, of) => <>{n === null ? '–' : write(n)}{of === 'now' && error && off(v?.[error])}</>} />
        </li>
      ))}
    </ul>
  )
}

interface Average {
  name: 'views_per_visit' | 'bounce_rate' | 'average_duration'
  label: string
  write: (n: number) => string
  lessIsGood?: boolean
  error?: 'bounce_rate_error'
}

/** What visits are like; all of it null where there are none. */
const averages: Average[] = [
  {name: 'views_per_visit', label: 'Views per visit', write: average},
  {name: 'bounce_rate', label: 'Bounce rate', write: percent, lessIsGood: true, error: 'bounce_rate_error'},
  {name: 'average_duration', label: 'Visit duration', write: span}
]

/** off is how many points a share may be off. */
function off(error: number | null | undefined) {
  const points = 196 * (error ?? 0)
  return points < 0.5 ? null : <small className="off"> ± {count(points)}</small>
}

function Number({label, now, before, share, lessIsGood, write}: {
  label: string
  now: number | null
  /** undefined where nothing is compared. */
  before?: number | null
  share?: number
  lessIsGood?: boolean
  write: (n: number | null, of: 'now' | 'before') => ReactNode
}) {
  return (
    <>
      <span className="label">{label}</span>
      <strong className="value">{write(now, 'now')}</strong>
      {before !== undefined && (
        <span className="before"><Change now={now} before={before} share={share} lessIsGood={lessIsGood} /> <span>from {write(before, 'before')}</span></span>
      )}
    </>
  )
}
