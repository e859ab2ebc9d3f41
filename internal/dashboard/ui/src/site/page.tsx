// The page of one site.
import {useCallback, useEffect} from 'react'
import {question, type Realtime, type Stats, type Timeseries, type Visits} from '../api'
import {ago, count, dates} from '../format'
import {Header} from '../header'
import {useAnswer, useNow, useSession, useTitle, type Asked} from '../hooks'
import {Link} from '../link'
import {Problem, Trouble} from '../parts'
import {cards, questionOf, sharedKey, viewPath, type View} from '../route'
import {ShareButton} from '../share'
import {Card, Detail, Save} from './card'
import {Chart} from './chart'
import {EmptySite} from './empty'
import {Filters} from './filters'
import {Headline, shownMetric} from './headline'
import {ComparePicker, IntervalPicker, PeriodPicker, SitePicker, spanOf} from './pickers'
import './site.css'

/** How often numbers are asked for, in milliseconds. With filters the server reads raw events. */
const often = 10_000
const seldom = 60_000
const awaited = 2000 // an empty site

export function SitePage({view}: {view: View}) {
  const {session} = useSession()
  useTitle(`${view.site} · Daybook`)
  return (
    <>
      <Header>
        <SitePicker view={view} />
        <Live key={view.site + ' live'} site={view.site} />
        {session.operator && !sharedKey() && <ShareButton view={view} />}
      </Header>
      <Site key={view.site} view={view} />
    </>
  )
}

/** Site shows one site, and nothing of another one that was shown before. */
function Site({view}: {view: View}) {
  const about = questionOf(view)
  const filtered = view.filters.length > 0
  const every = filtered ? seldom : often
  const series = useAnswer<Timeseries>(question('/stats/timeseries', {...about, interval: view.interval}), every)
  const visits = useAnswer<Visits>(question('/stats/visits', about), every)
  const quiet = series.data?.total.events === 0 && !series.busy
  const all = useAnswer<Stats>(quiet && !filtered ? question('/stats', {site_id: view.site, limit: '1'}) : null)
  const isNew = all.data?.total_events === 0 && all.data.bots === 0
  const begun = useCallback(() => {
    series.again()
    all.again()
  }, [series.again, all.again])

  return (
    <main id="main" className="page" tabIndex={-1} aria-busy={series.busy}>
      <h1 className="unseen">Statistics of {view.site}</h1>
      {isNew ? <NewSite site={view.site} begun={begun} /> : <>
        <div className="bar">
          <PeriodPicker view={view} series={series.data} />
          <ComparePicker view={view} />
        </div>
        <Filters view={view} />
        {series.failure && <section className="card"><Problem failure={series.failure} again={series.again} /></section>}
        {series.data && !series.failure && (quiet
          ? <NothingHere view={view} series={series.data} all={all.data} />
          : <Numbers view={view} series={series} visits={visits} every={every} />)}
      </>}
    </main>
  )
}

/** NewSite looks for the first event of a site, and tells when it is counted. */
function NewSite({site, begun}: {site: string; begun: () => void}) {
  const {data} = useAnswer<Stats>(question('/stats', {site_id: site, limit: '1'}), awaited)
  const events = data ? data.total_events + data.bots : 0
  useEffect(() => {
    if (events > 0) begun()
  }, [events, begun])
  return <EmptySite site={site} />
}

function Numbers({view, series, visits, every}: {view: View; series: Asked<Timeseries>; visits: Asked<Visits>; every: number}) {
  const data = series.data!
  return (
    <>
      <section className={series.busy ? 'card busy' : 'card'} aria-label="In numbers">
        <Headline view={view} series={data} visits={visits} />
        <Chart data={data} metric={shownMetric(view, data)} busy={series.busy} />
        <Trouble asked={series.trouble ? series : visits} />
        <footer className="about">
          <Freshness asked={series} />
          <span className="row">
            <IntervalPicker view={view} series={data} />
            <Save url={question('/stats/timeseries', {...questionOf(view), interval: data.interval})} what="the chart" />
          </span>
        </footer>
      </section>
      <div className="cards">
        {Object.keys(cards).map(name => <Card key={name} name={name} view={view} every={every} />)}
      </div>
      {view.detail && <Detail view={view} />}
    </>
  )
}

const sources = {rollup: 'from rollups', raw: 'from raw events', mixed: 'from rollups and raw events'}

/** Freshness says where the numbers come from, and up to when they are true. */
function Freshness({asked}: {asked: Asked<Timeseries>}) {
  const now = useNow(1000)
  const data = asked.data!
  return (
    <p className="hint">
      Counted <b>{sources[data.source]}</b>,{' '}
      {asked.asOf === null ? 'before the first events' : <span className="as-of">as of {ago(now - asked.asOf)}</span>}
      , by the clocks of {data.timezone}. Page views and events are exact; what is estimated has its ±.
    </p>
  )
}

/** Live tells how many visitors there are now. */
function Live({site}: {site: string}) {
  const {data, failure, trouble} = useAnswer<Realtime>(question('/stats/realtime', {site_id: site, limit: '1'}), 5000)
  if (!data || failure || trouble) return null
  const {users} = data.last_5_minutes
  return (
    <p className="live" title={`In the last 5 minutes. ${count(data.last_30_minutes.users)} in the last 30, with ${count(data.last_30_minutes.events)} events.`}>
      <span className={users ? 'dot on' : 'dot'} aria-hidden="true" />
      {!data.complete && 'at least '}{count(users)} {users === 1 ? 'visitor' : 'visitors'} now
    </p>
  )
}

/** NothingHere says why there are no numbers, and where there are some. */
function NothingHere({view, series, all}: {view: View; series: Timeseries; all?: Stats}) {
  if (view.filters.length > 0) {
    return (
      <section className="card empty">
        <h2>No event passes these filters in this period</h2>
        <Link href={viewPath({...view, filters: [], detail: '', page: 1})}>Remove all filters</Link>
      </section>
    )
  }
  if (!all) return null
  const span = spanOf(series)
  return (
    <section className="card empty">
      <h2>Nothing was counted {span ? `on ${dates(...span)}` : 'there'}</h2>
      {all.total_events === 0 && <p>Only bots were here, with {count(all.bots)} events.</p>}
      {all.total_events > 0 && all.from && <p>There are events of {dates(all.from, all.to!)}.</p>}
      <Link href={viewPath({...view, period: 'all', from: '', to: '', interval: ''})}>Show all that there is</Link>
    </section>
  )
}
