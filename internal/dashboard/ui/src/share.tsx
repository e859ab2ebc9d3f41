// Links that show a site to whoever has them.
import {useState, type FormEvent} from 'react'
import {ask, question, type Key} from './api'
import {time} from './format'
import {useAction, useAnswer} from './hooks'
import {Copy, Dialog, Problem} from './parts'
import {viewPath, type View} from './route'

/** A key that was made just now; nobody can ask for its token again. */
interface CreatedKey extends Key {
  token: string
}

/** ShareButton lets an operator share a view of a site. */
export function ShareButton({view}: {view: View}) {
  const [open, setOpen] = useState(false)
  return (
    <>
      <button type="button" aria-haspopup="dialog" onClick={() => setOpen(true)}>Share</button>
      {open && <Share view={view} close={() => setOpen(false)} />}
    </>
  )
}

function Share({view, close}: {view: View; close: () => void}) {
  const keys = useAnswer<Key[]>(question('/admin/keys', {site: view.site}))
  const [link, setLink] = useState('')
  const {busy, problem, act} = useAction()
  const make = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = e.currentTarget
    const note = String(new FormData(form).get('note')).trim()
    void act(async () => {
      const {data} = await ask<CreatedKey>('/admin/keys', {
        method: 'POST', body: {site: view.site, scope: 'read', note: note ? `share link: ${note}` : 'share link'}
      })
      setLink(`${location.origin}${viewPath(view)}#key=${data.token}`)
      form.reset()
      keys.again()
    })
  }
  const readers = keys.data?.filter(key => key.site === view.site && key.scope === 'read' && !key.revoked)
  return (
    <Dialog title={`Share ${view.site}`} close={close}>
      <p>A link opens what you see now. Whoever has it can read all statistics of {view.site}, and of no other site, until you revoke it.</p>
      <form className="stack" onSubmit={make}>
        <label>
          Note for yourself, such as who gets it
          <input name="note" maxLength={40} autoComplete="off" />
        </label>
        <p role="alert" className="problem">{problem}</p>
        <button type="submit" className="primary" disabled={busy}>Make a link</button>
      </form>
      <div role="status">
        {link && <>
          <p>Here is your link. It is shown only now, since Daybook does not keep it:</p>
          <Copy key={link} label="Share link" text={link} />
        </>}
      </div>
      <h3>Links and read keys of {view.site}</h3>
      {keys.failure && <Problem failure={keys.failure} again={keys.again} />}
      {readers?.length === 0 && <p className="hint">There are none.</p>}
      {readers && readers.length > 0 && <Readers keys={readers} again={keys.again} />}
    </Dialog>
  )
}

function Readers({keys, again}: {keys: Key[]; again: () => void}) {
  return (
    <div className="scroll" role="region" aria-label="Links and read keys" tabIndex={0}>
      <table>
        <caption className="unseen">Links and read keys, with what revokes them</caption>
        <thead><tr><th scope="col">Note</th><th scope="col">Made</th><th scope="col"><span className="unseen">Revoke</span></th></tr></thead>
        <tbody>
          {keys.map(key => (
            <tr key={key.id}>
              <th scope="row" className="free">{key.note || '(none)'}<div className="hint">{key.prefix}_…</div></th>
              <td>{time(key.created)}</td>
              <td><Revoke id={key.id} again={again} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** Revoke takes two steps, since nothing brings a key back. The focus stays in it. */
function Revoke({id, again}: {id: string; again: () => void}) {
  const [sure, setSure] = useState<boolean>()
  const {busy, problem, act} = useAction()
  if (!sure) return <button type="button" aria-label={`Revoke ${id}`} autoFocus={sure === false} onClick={() => setSure(true)}>Revoke</button>
  const revoke = () => act(async () => {
    await ask('/admin/keys/' + encodeURIComponent(id), {method: 'DELETE'})
    again()
  })
  return (
    <div role="group" aria-label={`Revoke ${id} for good?`} className="row">
      For good?
      <button type="button" disabled={busy} onClick={revoke}>Revoke</button>
      <button type="button" autoFocus onClick={() => setSure(false)}>Keep</button>
      <p role="alert" className="problem">{problem}</p>
    </div>
  )
}
