import type {MouseEvent, ReactNode} from 'react'
import {ask, seesAll} from './api'
import {useSession} from './hooks'
import {Link} from './link'
import {sharedKey, sitePath} from './route'
import {Theme} from './theme'

/** Header stands above every page: where one is, and where one can go. */
export function Header({children}: {children?: ReactNode}) {
  const {session, reload} = useSession()
  const signOut = () => ask('/session', {method: 'DELETE'}).then(reload, reload)
  return (
    <header className="header">
      <a className="skip" href="#main" onClick={skip}>Skip to the numbers</a>
      <Link className="logo" href={!session.key || session.key.site === '*' ? '/' : sitePath(session.key.site)}><Logo />Daybook</Link>
      {children}
      <nav aria-label="Daybook">
        {!sharedKey() && seesAll(session) && <Link href="/operators">Operators</Link>}
        <Theme />
        {session.key && !sharedKey() && <button type="button" className="plain" onClick={signOut}>Sign out</button>}
      </nav>
    </header>
  )
}

/** skip moves the focus alone: the part of the URL behind # is for keys. */
function skip(e: MouseEvent) {
  e.preventDefault()
  document.getElementById('main')?.focus()
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="var(--accent)" />
      <path d="M8 24V14M14 24V8M20 24v-7M26 24V11" stroke="var(--on-accent)" strokeWidth="3.2" strokeLinecap="round" />
    </svg>
  )
}
