// Which page is shown, and to whom.
import {Component, lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState, type ReactNode} from 'react'
import {ask, passes, seesAll, type Failure, type Session} from './api'
import {focusMain, later, SessionContext, useLost, useSession} from './hooks'
import {Link} from './link'
import {Notice} from './parts'
import {go, parseView, sharedKey, sitePath, useHref} from './route'
import {SignIn} from './signin'
import {SitePage} from './site/page'
import {SitesPage} from './sites'

const OperatorsPage = lazy(() => import('./operators/page'))

export function App() {
  const [session, setSession] = useState<Session>()
  const [failure, setFailure] = useState<Failure>()
  const [turn, setTurn] = useState(0)
  const href = useHref()
  const key = sharedKey()

  useEffect(() => {
    const abort = new AbortController()
    ask<Session>('/session', {signal: abort.signal}).then(({data}) => {
      setSession(data)
      setFailure(undefined)
    }, (why: Failure) => {
      if (abort.signal.aborted) return
      setFailure(why)
      if (passes(why)) later(() => setTurn(n => n + 1), 3000, abort.signal)
    })
    return () => abort.abort()
  }, [turn, key])

  // Whatever is shown, something asks until the server is back.
  const lost = useLost()
  useEffect(() => {
    if (lost) setTurn(n => n + 1)
  }, [lost])

  const reload = useCallback(() => setTurn(n => n + 1), [])
  const state = useMemo(() => session && {session, reload, lost: reload}, [session, reload])

  if (!state) return failure ? <Refused failure={failure} again={reload} /> : null
  if (failure?.status === 401) return <Refused failure={failure} again={reload} />
  return (
    <SessionContext key={key} value={state}>
      <Offline />
      <ErrorBoundary href={href}>
        <Page />
      </ErrorBoundary>
    </SessionContext>
  )
}

function Page() {
  const href = useHref()
  const {session} = useSession()
  const url = new URL(href)
  const view = useMemo(() => parseView(new URL(href)), [href])
  useFocusOnMain(url.pathname + session.key?.id)
  if (url.pathname === '/operators') return <Suspense fallback={<Loading />}><OperatorsPage /></Suspense>
  if (session.needs_key && !session.key) return <SignIn />
  if (view) return <SitePage view={view} />
  if (url.pathname !== '/') return <NotFound />
  return seesAll(session) ? <SitesPage /> : <OwnSite site={session.key!.site} />
}

/** useFocusOnMain gives the focus to another page whose link went away with the old one. */
function useFocusOnMain(page: string) {
  const shown = useRef(page)
  useEffect(() => {
    if (shown.current === page) return
    shown.current = page
    focusMain()
  }, [page])
}

/** OwnSite leads who may see one site alone to it. */
function OwnSite({site}: {site: string}) {
  useEffect(() => go(sitePath(site), {replace: true}), [site])
  return null
}

const Loading = () => <main id="main" className="notice" aria-busy="true" tabIndex={-1}><p role="status">Loading …</p></main>

function NotFound() {
  return (
    <Notice title="There is nothing here">
      <p>Sites are at <code>/sites/NAME</code>. <Link href="/">Show all sites</Link></p>
    </Notice>
  )
}

/** Refused tells why nothing can be shown at all. */
function Refused({failure, again}: {failure: Failure; again: () => void}) {
  if (failure.status === 0) {
    return <Notice title="The server cannot be reached"><p>Is Daybook running? It is tried again every few seconds.</p></Notice>
  }
  if (failure.status === 401 && sharedKey()) {
    return <Notice title="This link does not work any more"><p>{failure.message}. Ask whoever sent it to you for a new one.</p></Notice>
  }
  return (
    <Notice title="Daybook does not let you in">
      <p>{failure.message}</p>
      <button type="button" onClick={again}>Try again</button>
    </Notice>
  )
}

/** Offline tells, above whatever is shown, that it is not up to date. */
function Offline() {
  const lost = useLost()
  return (
    <div role="status" className={lost ? 'offline' : undefined}>
      {lost && 'The server cannot be reached. What you see is what it said last; it is asked again every few seconds.'}
    </div>
  )
}

/** ErrorBoundary keeps a fault of the dashboard from leaving an empty page. */
class ErrorBoundary extends Component<{href: string; children: ReactNode}, {error?: Error}> {
  override state: {error?: Error} = {}

  static getDerivedStateFromError(error: Error) {
    return {error}
  }

  override componentDidUpdate(before: {href: string}) {
    // Another view may be without it.
    if (this.state.error && before.href !== this.props.href) this.setState({error: undefined})
  }

  override render() {
    if (!this.state.error) return this.props.children
    return (
      <Notice title="The dashboard has a fault">
        <p>{this.state.error.message}</p>
        <p className="row"><button type="button" onClick={() => location.reload()}>Load it again</button> <a href="/">Show all sites</a></p>
      </Notice>
    )
  }
}
