// What a site shows before its first event: how to send one.
import {useState, type FormEvent} from 'react'
import {ask, type Failure} from '../api'
import {useAction, useSession} from '../hooks'
import {Copy} from '../parts'

/** noKey stands where a public key belongs. */
const noKey = 'YOUR PUBLIC KEY'

/** EmptySite tells how the first event of a site gets here. */
export function EmptySite({site}: {site: string}) {
  const {session} = useSession()
  const [made, setMade] = useState('')
  const ingest = session.ingest_url || `${location.protocol}//${location.hostname}:${session.ingest_port}`
  const key = session.ingest_needs_key ? made || noKey : ''
  const local = location.hostname === 'localhost' || location.hostname === '127.0.0.1'
  const line = `<script defer src="${ingest}/js/daybook.js" data-site="${site}"${key && ` data-key="${key}"`}${local ? ' data-local' : ''}></script>`
  const pixel = `<noscript><img src="${ingest}/pixel.gif?site_id=${site}${key && `&amp;key=${key}`}" alt="" hidden></noscript>`
  const curl = [
    `curl ${ingest}/event -H 'Content-Type: application/json'`,
    ...key ? ["-H 'Authorization: Bearer YOUR INGEST KEY'"] : [],
    `-d '{"site_id":"${site}","event_type":"page_view","path":"/"}'`
  ].join(' \\\n  ')

  return (
    <section className="card stacked">
      <h2>Nothing of {site} was counted yet</h2>
      <p role="status" className="live"><span className="dot" aria-hidden="true" />Waiting for the first event…</p>
      {session.ingest_needs_key && !made && (session.operator ? <PublicKey site={site} done={setMade} /> : <Commands site={site} />)}
      <h3>Put this line into its pages</h3>
      <Copy key={line} label="Line of the tracker" text={line} />
      {local && <p className="hint"><code>data-local</code> counts pages on this machine, too: leave it out of those that others see.</p>}
      {made && <p className="hint">The key may stand in pages: it is good for events of the site's allowed origins, and opens nothing else.</p>}
      <h3>Or send an event from a server</h3>
      <Copy label="Command that sends an event" text={curl} />
      {key && <p className="hint">Servers have a key of their own, which <code>daybook keys create --site {site} --scope ingest</code> makes.</p>}
      <details>
        <summary>Visitors without scripts</summary>
        <p>are counted by an image beside the line of the tracker. Most browsers tell it the host alone: add the page, as <code>&amp;amp;path=/about</code>.</p>
        <Copy key={pixel} label="Image that counts" text={pixel} />
      </details>
    </section>
  )
}

/** Commands tells who cannot do it here how a public key is made. */
function Commands({site}: {site: string}) {
  const {session} = useSession()
  // A key of the site's own shows that it was added.
  const verb = session.key?.site === site ? 'set' : 'add'
  return (
    <>
      <h3>Have a public key made</h3>
      <p>Events need a key here. Whoever runs this Daybook allows the pages of the site, and makes one:</p>
      <Copy label="Commands that make a public key" text={`daybook sites ${verb} ${site} --origins https://YOUR.SITE\ndaybook keys create --site ${site} --scope ingest --public`} />
    </>
  )
}

/** PublicKey makes a public key of a site, which it adds if need be. */
function PublicKey({site, done}: {site: string; done: (token: string) => void}) {
  const {busy, problem, act} = useAction()
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    const origin = String(new FormData(e.currentTarget).get('origin')).trim()
    void act(async () => {
      await allow(site, origin)
      const {data} = await ask<{token: string}>('/admin/keys', {method: 'POST', body: {site, scope: 'ingest', public: true, note: 'tracker'}})
      done(data.token)
    })
  }
  return (
    <form className="stack" onSubmit={submit}>
      <h3>Make a public key</h3>
      <label>
        Origin of its pages
        <input name="origin" inputMode="url" required placeholder="https://shop.example" autoComplete="off" spellCheck={false} aria-describedby="origin-help" />
      </label>
      <p id="origin-help" className="hint">Events need a key here, and one that stands in pages is taken from the site's allowed origins alone. This one is added to them; pages of origins that are not allowed are refused.</p>
      <p role="alert" className="problem">{problem}</p>
      <button type="submit" className="primary" disabled={busy}>Allow it and make a key</button>
    </form>
  )
}

/** allow adds an origin to those whose pages may send events of a site. */
async function allow(site: string, origin: string) {
  const path = '/admin/sites/' + encodeURIComponent(site)
  const known = await ask<{origins: string[]}>(path).catch((why: Failure) => {
    if (why.status === 404) return null
    throw why
  })
  if (!known) await ask('/admin/sites', {method: 'POST', body: {site, origins: [origin]}})
  else await ask(path, {method: 'PATCH', body: {origins: [...known.data.origins, origin]}})
}
