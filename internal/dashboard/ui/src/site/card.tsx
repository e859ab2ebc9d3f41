// The tables of dimensions: the most frequent values, each a filter.
import {useEffect, useRef, useState, type CSSProperties} from 'react'
import {download, question, type Breakdown, type Failure, type Row} from '../api'
import {count, dimensionName, percent, tableName, valueName} from '../format'
import {useAnswer, type Asked} from '../hooks'
import {Link} from '../link'
import {Change, Dialog, Estimate, Problem, Trouble} from '../parts'
import {cards, go, questionOf, viewPath, type Dimension, type View} from '../route'
import {canFilter, withFilter} from './filters'

/** How many rows a card has, and a page of a whole table. */
const few = 9
const many = 100
/** saved is the most rows of a file, which is the most that the API gives. */
const saved = 1000

const tableQuestion = (view: View, dimension: Dimension, limit: number, page = 1) =>
  question('/stats/breakdown', {...questionOf(view), dimension, limit: String(limit), page: page > 1 ? String(page) : ''})

/** Card shows one of the tables that belong together. */
export function Card({name, view, every}: {name: string; view: View; every: number}) {
  const tables = cards[name]!
  const open = view.tabs[name] ?? tables[0]!
  const asked = useAnswer<Breakdown>(tableQuestion(view, open, few), every)
  return (
    <section className="card" aria-label={name[0]!.toUpperCase() + name.slice(1)} aria-busy={asked.busy}>
      <h2 className="tabs">
        {tables.map(d => tables.length === 1 ? <span key={d}>{tableName(d)}</span> : (
          <Link key={d} href={viewPath({...view, tabs: {...view.tabs, [name]: d}})} aria-current={d === open ? 'true' : undefined}>{tableName(d)}</Link>
        ))}
      </h2>
      <div>
        <Trouble asked={asked} />
        <Answer asked={asked} view={view} dimension={open} />
      </div>
      <footer className="about">
        {asked.data && <Exactness data={asked.data} />}
        <span className="row">
          {/* Also where it is all already: the focus comes back to it. */}
          {asked.data && asked.data.values > 0 && <Link href={viewPath({...view, detail: open, page: 1})}>All {count(asked.data.values)}</Link>}
          <Save url={tableQuestion(view, open, saved)} what={tableName(open)} />
        </span>
      </footer>
    </section>
  )
}

/** Detail shows a whole table, page by page. */
export function Detail({view}: {view: View}) {
  const asked = useAnswer<Breakdown>(tableQuestion(view, view.detail, many, view.page))
  const pages = Math.ceil((asked.data?.values ?? 0) / many)
  const top = useRef<HTMLDivElement>(null)
  useEffect(() => {
    top.current!.closest('dialog')!.scrollTop = 0
  }, [view.page])
  return (
    <Dialog title={tableName(view.detail)} close={() => go(viewPath({...view, detail: '', page: 1}))}>
      <div ref={top} aria-busy={asked.busy}>
        <Trouble asked={asked} />
        <Answer asked={asked} view={view} dimension={view.detail} />
      </div>
      <footer className="about">
        {asked.data && <Exactness data={asked.data} />}
        <span className="row">
          {view.page > 1 && <Link href={viewPath({...view, page: view.page - 1})}>Back</Link>}
          {pages > 1 && view.page <= pages && <span>Page {count(view.page)} of {count(pages)}</span>}
          {view.page < pages && <Link href={viewPath({...view, page: view.page + 1})}>Next</Link>}
          <Save url={tableQuestion(view, view.detail, saved, Math.ceil(view.page * many / saved))} what={tableName(view.detail)} />
        </span>
      </footer>
    </Dialog>
  )
}

function Answer({asked, view, dimension}: {asked: Asked<Breakdown>; view: View; dimension: Dimension}) {
  if (asked.failure) return <Problem failure={asked.failure} again={asked.again} />
  // A table of another dimension would stand under the wrong name.
  if (asked.data?.dimension !== dimension) return <p className="empty">Loading …</p>
  if (asked.data.rows.length === 0) {
    if (view.page > 1 && asked.data.values > 0) {
      return <p className="empty">There is no such page. <Link href={viewPath({...view, page: Math.ceil(asked.data.values / many)})}>Show the last one</Link></p>
    }
    return <p className="empty">{dimension === 'bot' ? 'No bots were seen.' : `No ${dimensionName(dimension).toLowerCase()} is known of these events.`}</p>
  }
  return <Table data={asked.data} view={view} busy={asked.busy} />
}

const countNames = {events: 'Events', views: 'Views', visits: 'Visits'}

function Table({data, view, busy}: {data: Breakdown; view: View; busy: boolean}) {
  const {dimension, metric, compare, rows} = data
  const users = rows.some(row => row.users !== null)
  const countOf = (row: Row) => row[metric] ?? 0
  // Bars are as long as the first row lets them be.
  const longest = Math.max(...rows.map(row => row.share)) || 1
  // Where there is no link in it the keyboard scrolls the table itself.
  const reachable = canFilter(dimension) ? {} : {tabIndex: 0, role: 'group', 'aria-label': tableName(dimension)}
  return (
    <div className="scroll" {...reachable}>
      <table className={busy ? 'values busy' : 'values'}>
        <caption className="unseen">{tableName(dimension)}, by {countNames[metric].toLowerCase()}</caption>
        <thead>
          <tr>
            <th scope="col">{dimensionName(dimension)}</th>
            {users && <th scope="col" className="number">Visitors</th>}
            <th scope="col" className="number">{countNames[metric]}</th>
            <th scope="col" className="number">Share</th>
            {compare && <th scope="col" className="number">Before</th>}
            {compare && <th scope="col" className="number">Change</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => {
            const before = compare?.rows[i] ? countOf(compare.rows[i]) : 0
            return (
              <tr key={row.value} style={{'--part': row.share / longest} as CSSProperties}>
                <th scope="row"><Value view={view} dimension={dimension} value={row.value} /></th>
                {users && <td className="number"><Users row={row} /></td>}
                <td className="number"><Count row={row} metric={metric} /></td>
                <td className="number">{percent(row.share)}</td>
                {compare && <td className="number">{count(before)}</td>}
                {compare && <td className="number"><Change now={countOf(row)} before={before} /></td>}
              </tr>
            )
          })}
        </tbody>
        {data.other > 0 && (
          <tfoot>
            <tr>
              <td>{data.floor > 0 ? 'Others, and without a value' : <Value view={view} dimension={dimension} value="" />}</td>
              {users && <td />}
              <td className="number">{count(data.other)}</td>
              <td className="number">{percent(data.total ? data.other / data.total : 0)}</td>
              {compare && <td className="number">{count(compare.other)}</td>}
              {compare && <td className="number"><Change now={data.other} before={compare.other} /></td>}
            </tr>
          </tfoot>
        )}
      </table>
    </div>
  )
}

/** Value is a value, which leads to the same numbers of its events alone. */
function Value({view, dimension, value}: {view: View; dimension: Dimension; value: string}) {
  const name = valueName(dimension, value)
  if (!canFilter(dimension)) return <span>{name}</span>
  return <Link href={withFilter(view, {dimension, operator: '==', value})} title={`Show only ${name}`}>{name}</Link>
}

function Users({row}: {row: Row}) {
  if (row.users === null) return <>–</>
  if (row.users_at_most !== undefined) {
    return <span title="Not all visitors of this value were seen">{count(row.users)} to {count(row.users_at_most)}</span>
  }
  return <Estimate value={row.users} error={row.users_error} />
}

function Count({row, metric}: {row: Row; metric: Breakdown['metric']}) {
  const n = row[metric] ?? 0
  if (row.count_error) return <span title="There were so many values that this count may be too high">{count(n - row.count_error)} to {count(n)}</span>
  return <Estimate value={n} error={row.visits_error} />
}

/** Exactness says whether these are the most frequent values, and their counts right. */
function Exactness({data}: {data: Breakdown}) {
  if (data.exact) return <span className="hint">exact counts</span>
  return (
    <span className="hint">
      approximate counts{data.floor > 0 && `: there are more values than are kept, none of them with more than ${count(data.floor)}`}
    </span>
  )
}

/** Save downloads a table as CSV. */
export function Save({url, what}: {url: string; what: string}) {
  const [failure, setFailure] = useState<Failure>()
  return (
    <>
      <button type="button" className="plain" onClick={() => download(url).then(() => setFailure(undefined), setFailure)}>
        CSV<span className="unseen"> of {what}</span>
      </button>
      {failure && <span role="alert" className="problem">{failure.message}</span>}
    </>
  )
}
