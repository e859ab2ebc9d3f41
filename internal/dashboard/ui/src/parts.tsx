// Small parts that several pages have.
import {useLayoutEffect, useRef, useState, type ReactNode} from 'react'
import type {Failure} from './api'
import {count, margin} from './format'
import {useTitle} from './hooks'

/** Estimate writes a number, and how far off it may be. */
export function Estimate({value, error}: {value: number; error?: number | null}) {
  const off = margin(error)
  if (!off) return <>{count(value)}</>
  return (
    <span title={`An estimate: in 95 of 100 cases the true number is at most ${count(off)} more or less`}>
      <span aria-label="about">≈</span> {count(value)} <small className="off">± {count(off)}</small>
    </span>
  )
}

/** Change writes how much more there is now than in the other period. */
export function Change({now, before, share = now! / before! - 1, lessIsGood = false}: {
  now: number | null
  before: number | null
  /** The change where it is known more exactly than from these numbers. */
  share?: number
  lessIsGood?: boolean
}) {
  if (now === null || before === null) return null
  if (before === 0 && now > 0) return <span className="change">new</span>
  const points = now === before ? 0 : Math.abs(share * 100)
  const text = points >= 1000 ? '> 1000' : points < 10 ? points.toFixed(1) : points.toFixed(0)
  if (Number(text) === 0) return <span className="change">= 0 %</span>
  const kind = share > 0 === lessIsGood ? 'worse' : 'better'
  return (
    <span className={`change ${kind}`}>
      <span aria-hidden="true">{share > 0 ? '▲' : '▼'}</span> {text} %<span className="unseen"> {share > 0 ? 'more' : 'less'}</span>
    </span>
  )
}

/** Notice is a page with nothing but a message. */
export function Notice({title, children}: {title: string; children: ReactNode}) {
  useTitle(title)
  return <main className="notice" id="main" tabIndex={-1}><h1>{title}</h1>{children}</main>
}

/** Problem tells why there is no answer, and what to do. */
export function Problem({failure, again}: {failure: Failure; again: () => void}) {
  return (
    <div className="empty" role="alert">
      <p>{failure.message}</p>
      {failure.allowed && <p className="hint">Allowed: {failure.allowed}</p>}
      <button type="button" onClick={again}>Try again</button>
    </div>
  )
}

/** Trouble tells that an answer is not the newest, and why. */
export function Trouble({asked: {trouble}}: {asked: {trouble?: Failure}}) {
  if (!trouble) return null
  return <p role="status" className="offline">{trouble.message}. What you see is what was said before; it is asked again.</p>
}

/** Dialog is a window above the page. Escape closes it, and so does a click beside it. */
export function Dialog({title, close, children}: {title: string; close: () => void; children: ReactNode}) {
  const ref = useRef<HTMLDialogElement>(null)
  // Before it is taken off the page: closed behind that, it would not give the
  // focus back to what opened it.
  useLayoutEffect(() => {
    const dialog = ref.current!
    dialog.showModal()
    return () => dialog.close()
  }, [])
  return (
    <dialog ref={ref} aria-label={title} onCancel={e => { e.preventDefault(); close() }}
      onMouseDown={e => e.target === ref.current && close()}>
      <div className="dialog">
        <div className="title"><h2>{title}</h2><button type="button" className="plain" onClick={close}>Close</button></div>
        {children}
      </div>
    </dialog>
  )
}

/** Copy shows a text to be copied. */
export function Copy({label, text}: {label: string; text: string}) {
  const [said, setSaid] = useState('')
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text) // not there over plain http
      setSaid('Copied.')
    } catch {
      setSaid('This browser does not let the page copy it: select it, and copy it yourself.')
    }
  }
  return (
    <div className="copy">
      <pre tabIndex={0} aria-label={label}><code>{text}</code></pre>
      <div className="row">
        <button type="button" onClick={copy}>Copy</button>
        <span role="status">{said}</span>
      </div>
    </div>
  )
}
