// What the components share: answers that are kept up to date, and the time.
import {createContext, useCallback, useContext, useEffect, useState, useSyncExternalStore} from 'react'
import {ask, connection, passes, type Answer, type Failure, type Session} from './api'

/** What is known of a question. */
export interface Asked<T> {
  /** The last answer; while busy it may be that to the question before. */
  data?: T
  /** When the numbers were true, by the clock of this machine; null is never. */
  asOf: number | null
  /** Why there is no answer. */
  failure?: Failure
  /** Why the answer is not the newest: asking again has failed, and goes on. */
  trouble?: Failure
  busy: boolean
  /** Asks again at once. */
  again: () => void
}

/** retry is after how long what failed is asked again, in milliseconds. */
const retry = 5000

/** later calls something after a while, and while the page cannot be seen not before it can, until the signal. */
export function later(run: () => void, wait: number, signal: AbortSignal) {
  const cancel = () => clearTimeout(timer)
  const timer = setTimeout(() => {
    signal.removeEventListener('abort', cancel) // a signal may live for days
    if (document.visibilityState === 'visible') run()
    else document.addEventListener('visibilitychange', run, {once: true, signal})
  }, wait)
  signal.addEventListener('abort', cancel)
}

/** focusMain gives the focus to a page that came in place of what had it. */
export function focusMain() {
  if (document.activeElement === document.body) document.getElementById('main')?.focus()
}

/**
 * useAnswer asks a question, and asks again every so many milliseconds (0:
 * never) while the page can be seen. What fails for reasons that pass is asked
 * again, too; the last answer stays. null is no question.
 */
export function useAnswer<T>(url: string | null, every = 0): Asked<T> {
  const [state, setState] = useState<{url: string; answer?: Answer<T>; came: number; failure?: Failure}>()
  const [turn, setTurn] = useState(0)
  const {lost} = useSession()

  useEffect(() => {
    if (url === null) return
    const abort = new AbortController()
    const run = async () => {
      try {
        const answer = await ask<T>(url, {signal: abort.signal})
        if (abort.signal.aborted) return
        setState({url, answer, came: Date.now()})
        if (every) later(run, every, abort.signal)
      } catch (e) {
        if (abort.signal.aborted) return
        const failure = e as Failure
        setState(was => was?.url === url ? {...was, failure} : {url, came: 0, failure})
        if (failure.status === 401) lost(failure)
        else if (passes(failure)) later(run, retry, abort.signal)
      }
    }
    void run()
    return () => abort.abort()
  }, [url, every, turn, lost])

  const again = useCallback(() => setTurn(n => n + 1), [])
  const age = state?.answer?.age ?? null
  const failure = state?.url === url ? state?.failure : undefined
  const keeps = failure && passes(failure) && state?.answer !== undefined
  return {
    data: url === null ? undefined : state?.answer?.data,
    asOf: state && age !== null ? state.came - age : null,
    failure: keeps ? undefined : failure,
    // That no server is there is said once, above the page.
    trouble: keeps && failure.status !== 0 ? failure : undefined,
    busy: url !== null && state?.url !== url,
    again
  }
}

/** useAction does what somebody asks for, and tells why it could not be done. */
export function useAction() {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState('')
  const act = async (what: () => Promise<void>) => {
    setBusy(true)
    setProblem('')
    try {
      await what()
    } catch (why) {
      setProblem((why as Error).message)
    } finally {
      setBusy(false)
    }
  }
  return {busy, problem, act}
}

/** useNow gives the time, and again every so many milliseconds. */
export function useNow(every: number): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every)
    return () => clearInterval(timer)
  }, [every])
  return now
}

/** useLost tells whether the server is out of reach. */
export const useLost = () => useSyncExternalStore(connection.subscribe, connection.isLost)

/** useTitle names the page, in the browser's tab and its history. */
export function useTitle(title: string) {
  useEffect(() => {
    document.title = title
  }, [title])
}

interface SessionState {
  session: Session
  /** Reads the session again, since it was changed here. */
  reload: () => void
  /** Tells that a key is not taken any more, and why. */
  lost: (why: Failure) => void
}

export const SessionContext = createContext<SessionState | null>(null)

export function useSession(): SessionState {
  const state = useContext(SessionContext)
  if (!state) throw new Error('there is no session around this')
  return state
}
