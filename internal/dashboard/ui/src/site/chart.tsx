// The chart of a site's page: one number in every bucket of a period.
import {lazy, Suspense, useMemo, useState} from 'react'
import type {Bucket, Timeseries} from '../api'
import {clock} from '../clock'
import {bucket, count, dates, margin, percent, short} from '../format'
import {Estimate} from '../parts'
import type {Metric} from '../route'
import {errorOf, metrics} from './headline'
import {spanOf} from './pickers'
import type {Drawing} from './plot'
import './chart.css'

// It is on its way before the numbers that it draws.
const plot = import('./plot')
const Plot = lazy(() => plot)

/** Chart shows a number over time: drawn, and as a table for who asks for it. */
export function Chart({data, metric, busy}: {data: Timeseries; metric: Metric; busy: boolean}) {
  const [open, setOpen] = useState(false)
  const drawing = useMemo(() => drawingOf(data, metric), [data, metric])
  if (data.buckets.length === 0) return null
  return (
    <div className="chart" aria-busy={busy}>
      {metric === 'visits' && data.interval === 'hour'
        ? <p className="empty">A visit belongs to a day, so there are none by hour.</p>
        : <>
          {data.compare && (
            <p className="legend">
              <span><i className="now" />{periodOf(data)}</span>
              <span><i className="before" />{periodOf(data.compare)}</span>
            </p>
          )}
          <Suspense fallback={<div className="plot" />}>
            <Plot label={`${metrics[metric]} by ${data.interval}, ${periodOf(data)}`} drawing={drawing} />
          </Suspense>
        </>}
      <button type="button" className="plain disclose" aria-expanded={open} onClick={() => setOpen(!open)}>Show as table</button>
      {open && <Table data={data} metric={metric} />}
    </div>
  )
}

/** periodOf names the days of an answer, which has some if it has buckets. */
function periodOf(data: Pick<Timeseries, 'date' | 'from' | 'to'>): string {
  const span = spanOf(data)
  return span ? dates(...span) : ''
}

/** begun tells how many of the buckets are not of the future, and whether the last of these still goes on. */
function begun({buckets, interval, timezone, ...data}: Timeseries) {
  const now = clock(timezone)
  const future = buckets.findIndex(b => b.start > now)
  const n = future < 0 ? buckets.length : future
  const to = spanOf(data)?.[1] ?? ''
  return {n, goesOn: n > 0 && now.slice(0, 10) <= to}
}

/** namesOf gives the name of each bucket of an answer. */
function namesOf(data: Timeseries) {
  const {n, goesOn} = begun(data)
  return (i: number) => bucket(data.buckets[i]!.start, data.interval) + (goesOn && i === n - 1 ? ', so far' : '')
}

/**
 * pairsOf gives for each bucket the one of the other period that it is compared
 * with: by hour the same time of the same day, since a day on which clocks are
 * put forward has an hour less, and else the one in the same place.
 */
function pairsOf({buckets, interval, compare}: Timeseries): (Bucket | undefined)[] {
  if (!compare) return []
  if (interval !== 'hour') return buckets.map((_, i) => compare.buckets[i])
  const day = (b: Bucket) => Date.parse(b.start.slice(0, 10)) / 86_400_000
  const [first, other] = [buckets[0]!, compare.buckets[0]]
  const name = (b: Bucket, from: Bucket) => day(b) - day(from) + b.start.slice(10)
  const found = new Map(compare.buckets.map(b => [name(b, other!), b]))
  return buckets.map(b => found.get(name(b, first)))
}

function drawingOf(data: Timeseries, metric: Metric): Drawing {
  const {buckets, interval, compare} = data
  const {n} = begun(data)
  const name = namesOf(data)
  const before = compare && pairsOf(data)
  const span = spanOf(data)
  const years = span && Date.parse(span[1]) - Date.parse(span[0]) > 366 * 86_400_000
  return {
    values: buckets.map((b, i) => i < n ? b[metric] : null),
    before: before?.map(b => b?.[metric] ?? null),
    ticks: most => ticksOf(data, most),
    tick: i => {
      const {start} = buckets[i]!
      // Among the hours of several days midnight has the name of the day, and
      // days and weeks of several years are told apart by month and year.
      if (interval === 'hour') return bucket(start, !data.date && start.endsWith('T00:00') ? 'day' : interval, true)
      return bucket(start, years ? 'month' : interval, true)
    },
    words: i => {
      const now = i < n ? buckets[i]! : undefined
      const other = before?.[i]
      return [
        name(i),
        `${metrics[metric]}: ${now ? text(now, metric) : 'not yet known'}`,
        ...other ? [`${bucket(other.start, interval)}: ${text(other, metric)}`] : [],
        ...now && other ? [difference(now[metric] ?? 0, other[metric] ?? 0)] : []
      ]
    },
    write: short
  }
}

/** text writes the number of a bucket, and how far off it may be. */
function text(b: Bucket, metric: Metric): string {
  const off = margin(errorOf(b, metric))
  return count(b[metric] ?? 0) + (off ? ` ± ${count(off)}` : '')
}

function difference(now: number, before: number): string {
  if (now === before) return 'as many'
  if (before === 0) return 'new'
  return `${percent(Math.abs(now / before - 1))} ${now > before ? 'more' : 'less'}`
}

/** ticksOf gives the buckets that the axis names: at most so many, and at times that people know. */
function ticksOf({buckets, interval}: Timeseries, most: number): number[] {
  const all = buckets.map((_, i) => i)
  const thin = (indices: number[]) => {
    const step = Math.ceil(indices.length / most)
    return indices.filter((_, i) => i % step === 0)
  }
  if (interval !== 'hour') return thin(all)
  // By what the clocks show, since not every day has 24 hours.
  const every = (hours: number) => all.filter(i => Number(buckets[i]!.start.slice(11, 13)) % hours === 0)
  return [1, 2, 3, 6, 12].map(every).find(found => found.length <= most) ?? thin(every(24))
}

const columns = {hour: 'Hour', day: 'Day', week: 'Week', month: 'Month'}

function Table({data, metric}: {data: Timeseries; metric: Metric}) {
  const {interval, compare} = data
  const {n} = begun(data)
  const name = namesOf(data)
  const before = pairsOf(data)
  const shown = (Object.keys(metrics) as Metric[]).filter(m => m !== 'visits' || interval !== 'hour')
  const title = `By ${interval}, ${periodOf(data)}`
  const cell = (b: Bucket | undefined, m: Metric) => b && b[m] !== null ? <Estimate value={b[m]} error={errorOf(b, m)} /> : '–'
  return (
    <div className="scroll rows" role="group" tabIndex={0} aria-label={title}>
      <table>
        <caption className="unseen">{title}</caption>
        <thead>
          <tr>
            <th scope="col">{columns[interval]}</th>
            {shown.map(m => <th key={m} scope="col" className="number">{metrics[m]}</th>)}
            {compare && <th scope="col" className="number">{metrics[metric]}, {periodOf(compare)}</th>}
          </tr>
        </thead>
        <tbody>
          {data.buckets.map((b, i) => (
            <tr key={i}>
              <th scope="row">{name(i)}</th>
              {shown.map(m => <td key={m} className="number">{cell(i < n ? b : undefined, m)}</td>)}
              {compare && <td className="number">{cell(before[i], metric)}{before[i] && <small className="off"> {bucket(before[i].start, interval)}</small>}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
