// The page with all sites.
import {useState, type FormEvent} from 'react'
import {question, type Sites} from './api'
import {Header} from './header'
import {count} from './format'
import {useAnswer, useTitle} from './hooks'
import {Link} from './link'
import {Estimate, Problem, Trouble} from './parts'
import {go, sitePath, useHref} from './route'

/** onPage is how many sites a page has. */
const onPage = 50

export function SitesPage() {
  useTitle('Sites · Daybook')
  const page = Math.max(1, Math.floor(Number(new URL(useHref()).searchParams.get('page')))) || 1
  const asked = useAnswer<Sites>(question('/stats/sites', {period: '7d', limit: String(onPage), page: page > 1 ? String(page) : ''}), 30_000)
  const sites = asked.data?.sites
  return (
    <>
      <Header />
      <main id="main" className="page" tabIndex={-1} aria-busy={asked.busy}>
        <h1>Sites</h1>
        {asked.failure && <Problem failure={asked.failure} again={asked.again} />}
        <Trouble asked={asked} />
        {sites?.length === 0 && page === 1 && <p>No site has sent an event yet. Give your first one a name, and see what to put into its pages:</p>}
        {sites && sites.length > 0 && (
          <section className="card scroll" aria-label="Sites" tabIndex={0}>
            <table>
              <caption className="unseen">Sites, by name, with the last 7 days</caption>
              <thead>
                <tr>
                  <th scope="col">Site</th>
                  <th scope="col" className="number">Visitors, 7 days</th>
                  <th scope="col" className="number">Page views</th>
                  <th scope="col" className="number">Events</th>
                </tr>
              </thead>
              <tbody>
                {sites.map(site => (
                  <tr key={site.site_id}>
                    <th scope="row"><Link href={sitePath(site.site_id)}>{site.site_id}</Link></th>
                    <td className="number"><Estimate value={site.users} error={site.users_error} /></td>
                    <td className="number">{count(site.views)}</td>
                    <td className="number">{count(site.events)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        )}
        <nav aria-label="Pages of sites" className="row">
          {page > 1 && <Link href={page > 2 ? `/?page=${page - 1}` : '/'}>Back</Link>}
          {asked.data?.more && <Link href={`/?page=${page + 1}`}>More sites</Link>}
        </nav>
        {sites && <OpenSite />}
      </main>
    </>
  )
}

/** OpenSite shows a site by its name, also one that nothing is known of yet. */
function OpenSite() {
  const [name, setName] = useState('')
  const open = (e: FormEvent) => {
    e.preventDefault()
    go(sitePath(name))
  }
  return (
    <form className="row" onSubmit={open}>
      <label className="row">
        Name of a site
        <input required value={name} onChange={e => setName(e.target.value)} pattern="[A-Za-z0-9._:\-]{1,128}" title="1 to 128 letters, digits and . _ : -" />
      </label>
      <button type="submit">Open it</button>
    </form>
  )
}
