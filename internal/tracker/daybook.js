// Daybook's tracker, as docs/tracker.md describes it. What is served is
// daybook.min.js, which `make tracker` makes of this file.
//
// Two rules: nothing that goes wrong here may be seen by the page, and nothing
// is sent that the documentation does not name.
{
  const safely = action => event => {
    try {
      action(event)
    } catch (e) {
      console.warn('daybook:', e)
    }
  }

  safely(() => {
    const script = document.currentScript
    const stub = window.daybook
    // Whoever has the script in the page twice is counted once.
    if (stub && stub.site) return
    const data = script ? script.dataset : {} // a module has none
    if (!data.site) throw 'nothing is counted: use <script defer src=... data-site=...>, and no module'

    const endpoint = new URL(data.api || '/event', script.src)
    if (data.key) endpoint.searchParams.set('key', data.key)

    // Where nobody but the owner looks: on the own machine, or not by HTTP.
    const local = !/^http/.test(location.protocol) ||
      /^(localhost|127\..*|\[::1\]|.*\.local(host)?)$/.test(location.hostname)

    // The server refuses more.
    const longest = 2048

    // seen is the URL of the last page view: undefined before the first one, and
    // empty for a page that the browser had put aside and shows again.
    let seen
    // held are the bodies of events from before the first page view: a page that
    // is prerendered, or in a tab that nobody has opened, has not been visited.
    const held = []
    // waiting are the retries that are to come.
    const waiting = new Set()
    // clicked is the marked element that this turn of the event loop has counted
    // a click of: of one on a label browsers make a second one, on its control.
    let clicked

    const optedOut = () => {
      try {
        return localStorage.getItem('daybook_ignore') === 'true'
      } catch (e) {} // the browser does not let the page have a storage
    }

    // here gives the URL of the page without its query, which may hold secrets.
    // With data-hash the route behind "#/" or "#!" is part of the path; without a
    // route it is the page itself. What else stands behind a # may be a secret.
    const here = () => {
      const route = 'hash' in data && (/^#[!/]\/?([^?#]*)/.exec(location.hash) || [])[1]
      return location.origin + (route ? location.pathname.replace(/\/?$/, '/') + route : location.pathname)
    }

    // deliver sends an event. Whether it arrived is not known after a failure,
    // but it has an ID, so that it can be sent again and is counted once: after
    // 1, 5 and 25 seconds, or at once when the page goes away.
    const deliver = (body, delay) => {
      if (optedOut()) return
      const again = () => {
        if (delay > 25e3) return
        const retry = safely(() => {
          clearTimeout(timer)
          waiting.delete(retry)
          deliver(body, delay * 5)
        })
        const timer = setTimeout(retry, delay)
        waiting.add(retry)
      }
      if ('keepalive' in Request.prototype) {
        // A string goes as text/plain, for which no browser asks beforehand.
        fetch(endpoint, {
          method: 'POST', body, keepalive: true, credentials: 'omit', referrerPolicy: 'origin'
        }).then(answer => {
          if (answer.status == 429 || answer.status > 499) again()
        }).catch(again)
      } else if (!navigator.sendBeacon(endpoint, body)) {
        again()
      }
    }

    // track is window.daybook. The fields are those of an event, and replace
    // what is filled in here.
    const track = (type, fields) => safely(() => {
      if (local && !('local' in data) || optedOut()) return
      const event = {
        site_id: data.site,
        event_type: type,
        event_id: crypto.getRandomValues(new Uint32Array(4)).join('-'),
        path: here().slice(0, longest)
      }
      for (const name in fields) {
        if (fields[name] != null) event[name] = '' + fields[name] // the server takes strings only
      }
      const body = JSON.stringify(event)
      if (seen == null) held.push(body)
      else deliver(body, 1e3)
    })()

    // look counts a page view if the page is visible and not the one that was
    // counted last. Where a visitor came from is told with the first one only, so
    // that it is counted once.
    const look = safely(() => {
      const first = seen == null
      const url = here()
      if (document.prerendering || document.visibilityState != 'visible' || url == seen) return
      seen = url
      const campaign = location.search.slice(1).split('&').filter(part => /^utm_/.test(part)).join('&')
      track('page_view', first && {
        path: (url + '?' + campaign).slice(0, longest),
        referrer: document.referrer.split('?')[0].slice(0, longest)
      })
      held.splice(0).forEach(body => deliver(body, 1e3))
    })

    // click looks at clicks of the first two buttons, before the page can stop
    // them on their way. The second one opens links, and does nothing else.
    const click = safely(event => {
      const link = event.target.closest('a[href]')
      if (event.button > (link ? 1 : 0)) return
      const marked = event.target.closest('[data-daybook-event]:not(form)')
      if (marked && marked != clicked) {
        clicked = marked
        setTimeout(() => { clicked = null })
        track(marked.dataset.daybookEvent)
      }
      if (!link || !/^http/.test(link.protocol)) return
      const path = link.host + link.pathname
      const type = link.pathname.split('.').pop().toLowerCase()
      if (type && (data.downloads || '').split(/[ ,]+/).includes(type)) track('download', {path})
      else if ('outbound' in data && link.host != location.host) track('outbound_link', {path})
    })

    window.daybook = track
    track.site = data.site

    document.addEventListener('prerenderingchange', look)
    document.addEventListener('visibilitychange', look)
    document.addEventListener('click', click, true)
    document.addEventListener('auxclick', click, true)
    document.addEventListener('submit', safely(event => {
      const type = event.target.dataset.daybookEvent
      if (type) track(type)
    }), true)
    addEventListener('pagehide', () => waiting.forEach(retry => retry()))
    addEventListener('pageshow', event => {
      if (!event.persisted) return
      seen = seen && ''
      look()
    })
    if (window.navigation) {
      // It tells of every change of the URL, whoever makes it.
      navigation.addEventListener('currententrychange', look)
    } else {
      for (const name of ['pushState', 'replaceState']) {
        const change = history[name]
        history[name] = function () {
          change.apply(history, arguments)
          look()
        }
      }
      addEventListener('popstate', look)
      addEventListener('hashchange', look)
    }

    look()
    // What the page called before the script was there.
    if (stub && stub.q) stub.q.forEach(call => track(call[0], call[1]))
  })()
}
