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
  const estimate = (c: Counts, metric: Metric) => <Estimate value={c[metric] ?? 0} error={errorOf(c, metric)} />
  const v = visits.failure || visits.busy ? undefined : visits.data
  // By hour the time series has no visits, the period has.
  const numbers = (c: Counts, of?: Visits | Visits['compare']): Counts => ({...c, visits: of?.visits ?? c.visits, visits_error: of?.visits_error ?? c.visits_error})
  const now = numbers(series.total, v)
  const other = before && numbers(before, v?.compare)
  return (
    <ul className="headline">
      {(Object.keys(metrics) as Metric[]).map(metric => {
        const shown = (
          <Number label={metrics[metric]}
            value={now[metric] === null ? '–' : estimate(now, metric)}
            before={other && (other[metric] === null ? '–' : estimate(other, metric))}
            change={metric === 'visits' ? v?.change?.visits ?? series.change?.visits : series.change?.[metric]} />
        )
        const chosen = shownMetric(view, series) === metric
        return (
          <li key={metric}>
            {metric === 'visits' && series.interval === 'hour' ? shown
              : <Link href={viewPath({...view, metric})} aria-current={chosen ? 'true' : undefined} title="Show it in the chart">{shown}</Link>}
          </li>
        )
      })}
      <li>
        <Number label="Views per visit" value={written(v?.views_per_visit, average)}
          before={v?.compare && written(v.compare.views_per_visit, average)} change={v?.change?.views_per_visit} />
      </li>
      <li>
        <Number label="Bounce rate" value={<>{written(v?.bounce_rate, percent)}{v && off(v.bounce_rate_error)}</>}
          before={v?.compare && written(v.compare.bounce_rate, percent)} change={v?.change?.bounce_rate} lessIsGood />
      </li>
      <li>
        <Number label="Visit duration" value={written(v?.average_duration, span)}
          before={v?.compare && written(v.compare.average_duration, span)} change={v?.change?.average_duration} />
      </li>
    </ul>
  )
}

const written = (n: number | null | undefined, write: (n: number) => string) => n === null || n === undefined ? '–' : write(n)

/** off is how many points a share may be off. */
function off(error: number | null) {
  const points = 196 * (error ?? 0)
  return points < 0.5 ? null : <small className="off"> ± {count(points)}</small>
}

function Number({label, value, before, change, lessIsGood}: {
  label: string
  value: ReactNode
  before?: ReactNode
  change?: number | null
  lessIsGood?: boolean
}) {
  return (
    <>
      <span className="label">{label}</span>
      <strong className="value">{value}</strong>
      {before !== undefined && <span className="before"><Change share={change} lessIsGood={lessIsGood} /> <span>from {before}</span></span>}
    </>
  )
}
