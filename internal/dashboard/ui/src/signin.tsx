import type {FormEvent} from 'react'
import {ask, type Session} from './api'
import {useAction, useSession, useTitle} from './hooks'

/** SignIn asks for a key, which the browser keeps where no script can read it. */
export function SignIn({operator = false}: {operator?: boolean}) {
  useTitle('Sign in · Daybook')
  return (
    <main className="notice" id="main" tabIndex={-1}>
      <h1>Sign in</h1>
      <KeyForm operator={operator} />
    </main>
  )
}

/** KeyForm takes a key that reads, or where that is needed an operator's. */
export function KeyForm({operator = false}: {operator?: boolean}) {
  const {reload} = useSession()
  const {busy, problem, act} = useAction()
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    const key = String(new FormData(e.currentTarget).get('key')).trim()
    void act(async () => {
      await ask('/session', {method: 'POST', body: {key}})
      const {data} = await ask<Session>('/session')
      if (!data.key) throw new Error('The key is good, but this browser did not keep its cookie: allow cookies for this host, or remove those that it has of it. If you were here by https before, use that.')
      reload()
      if (operator && !data.operator) throw new Error('This key is good, but it is not an admin key of all sites, which is needed here.')
    })
  }
  const command = operator ? "daybook keys create --site '*' --scope admin" : 'daybook keys create --site SITE --scope read'
  return (
    <form onSubmit={submit} className="stack">
      <label>
        {operator ? 'Admin key' : 'Read or admin key'}
        <input name="key" type="password" autoComplete="current-password" required autoFocus={!operator}
          placeholder={operator ? 'db_admin_…' : 'db_read_…'} aria-describedby="key-help" spellCheck={false} />
      </label>
      <p id="key-help" className="hint">Whoever runs this Daybook makes keys with <code>{command}</code>. Yours stays in this browser, in a cookie that no page can read.</p>
      <p role="alert" className="problem">{problem}</p>
      <button type="submit" className="primary" disabled={busy}>Sign in</button>
    </form>
  )
}
