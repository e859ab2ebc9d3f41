// What the tracker counts of what happens in pages, and what it leaves alone.
// Each test has a site of its own, whose rollups in the end show exactly what
// happened.
import assert from 'node:assert/strict'
import {after, before, test} from 'node:test'
import {eventually, Daybook} from './daybook.js'
import {open, Pages, unwatched, visit} from './browser.js'

let daybook, pages, browser

before(async () => {
  daybook = await Daybook.start()
  pages = await Pages.start()
  browser = await open()
})

after(async () => {
  await browser?.close()
  await pages?.stop()
  await daybook?.stop()
})

// tracker is the line that stands in a page, with a site and more attributes.
const tracker = (site, attributes = '') =>
  `<script defer src="${daybook.ingest}/js/daybook.js" data-site="${site}" ${attributes}></script>`

// one is what is counted of one visitor in the test's browser, beside what is
// given.
const one = counted => ({
  users: 1,
  browser: {Chrome: counted.events}, os: {Linux: counted.events}, device: {desktop: counted.events},
  ...counted
})

const none = {events: 0, views: 0, users: 0}

// answered waits until so many events of a page were answered.
const answered = (events, number) => eventually(`${number} answered events`, async () => {
  const answers = await Promise.all(events.map(event => event.existingResponse()))
  return answers.filter(answer => answer?.status() === 202).length >= number
})

// types gives the types of the events that a page has sent.
const types = events => events.map(event => JSON.parse(event.postData()).event_type)

// hide makes the next page of a browser hidden until its become('visible').
const hide = page => page.addInitScript(() => {
  let state = 'hidden'
  Object.defineProperty(document, 'visibilityState', {get: () => state})
  window.become = now => {
    state = now
    document.dispatchEvent(new Event('visibilitychange'))
  }
})

// allRetries is more than all waits for another try together, in milliseconds.
const allRetries = 60_000

test('a page that is loaded is one view, and nothing more is sent than is documented', async () => {
  pages.add('/load', tracker('load'))
  pages.add('/news', `<a href="${pages.origin()}/load?utm_source=newsletter&token=secret#top">read on</a>`,
    {'Referrer-Policy': 'unsafe-url'})
  await visit(browser, async (page, events) => {
    await page.context().addCookies([{name: 'session', value: 'secret', url: daybook.ingest}])
    await page.goto(pages.origin('news.test') + '/news?reader=secret')
    await page.click('a')
    await answered(events, 1)

    const [event] = events
    const body = JSON.parse(event.postData())
    assert.match(body.event_id, /^\d+(-\d+){3}$/)
    assert.deepEqual(body, {
      site_id: 'load',
      event_type: 'page_view',
      event_id: body.event_id,
      path: pages.origin() + '/load?utm_source=newsletter',
      referrer: pages.origin('news.test') + '/news'
    })
    assert.equal(event.url(), daybook.ingest + '/event')
    const headers = await event.allHeaders()
    assert.equal(headers['content-type'], 'text/plain;charset=UTF-8')
    assert.equal(headers.cookie, undefined)
    assert.equal(headers.referer, pages.origin() + '/')
    assert.deepEqual(await page.context().cookies(pages.origin()), [])
    assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0)
  })
  await daybook.expect('load', one({
    events: 1, views: 1, event_type: {page_view: 1}, path: {'/load': 1},
    referrer: {'news.test': 1}, utm_source: {newsletter: 1}
  }))
})

for (const [how, site] of [['tells of its navigation', 'spa'], ['has only the history', 'spa-history']]) {
  test(`a single-page app is counted by its paths where the browser ${how}`, async () => {
    const url = pages.add(`/${site}/`, tracker(site) + `
      <button id="a" onclick="history.pushState(null, '', 'a')">a</button>
      <button id="filter" onclick="history.pushState(null, '', 'a?filter=new')">filter</button>
      <button id="section" onclick="history.replaceState(null, '', 'a#section')">section</button>
      <button id="b" onclick="history.pushState({page: 'b'}, '', 'b')">b</button>
      <button id="c" onclick="history.replaceState(null, '', 'c')">c</button>`)
    await visit(browser, async (page, events) => {
      if (site === 'spa-history') await page.addInitScript(() => Object.defineProperty(window, 'navigation', {value: undefined}))
      await page.goto(url)
      for (const button of ['#a', '#filter', '#section', '#b']) await page.click(button)
      assert.deepEqual(await page.evaluate(() => history.state), {page: 'b'})
      await page.goBack() // to a#section
      await page.goForward()
      await page.click('#c')
      await answered(events, 6)
    })
    await daybook.expect(site, one({
      events: 6, views: 6, event_type: {page_view: 6},
      path: {[`/${site}/`]: 1, [`/${site}/a`]: 2, [`/${site}/b`]: 2, [`/${site}/c`]: 1}
    }))
  })
}

test('navigations that the page intercepts are counted', async () => {
  const url = pages.add('/intercepted/', tracker('intercepted') + `
    <script>navigation.addEventListener('navigate', event => event.intercept({async handler() {}}))</script>
    <a href="next">next</a>`)
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await page.click('a')
    await answered(events, 2)
  })
  await daybook.expect('intercepted', one({
    events: 2, views: 2, event_type: {page_view: 2}, path: {'/intercepted/': 1, '/intercepted/next': 1}
  }))
})

test('in hash mode the part behind # is of the path, otherwise it is nothing', async () => {
  for (const [site, attributes] of [['hash', 'data-hash'], ['no-hash', '']]) {
    const url = pages.add(`/${site}/`, tracker(site, attributes) + `
      <a id="home" href="#/">home</a> <a id="cart" href="#/cart?step=1">cart</a> <a id="user" href="#!/user/a%20b">user</a>
      <a id="token" href="#access_token=secret">token</a>`)
    await visit(browser, async (page, events) => {
      await page.goto(url)
      for (const link of ['#home', '#cart', '#user']) await page.click(link)
      await page.goBack()
      await page.click('#token') // no route, so this is the page itself
      await answered(events, site === 'hash' ? 5 : 1)
    })
  }
  await daybook.expect('hash', one({
    events: 5, views: 5, event_type: {page_view: 5}, path: {'/hash/': 2, '/hash/cart': 2, '/hash/user/a%20b': 1}
  }))
  await daybook.expect('no-hash', one({events: 1, views: 1, event_type: {page_view: 1}, path: {'/no-hash/': 1}}))
})

test('custom events come from calls, also early ones, and from attributes', async () => {
  const url = pages.add('/events', `
    <script>
      window.daybook = window.daybook || function () { (daybook.q = daybook.q || []).push(arguments) }
      daybook('early', {path: '/early'})
    </script>` + tracker('events') + `
    <button id="call" onclick="daybook('signup', {user_id: 7, country: 'NZ', utm_source: null})">sign up</button>
    <button data-daybook-event="play" onclick="event.stopPropagation()"><b>play</b></button>
    <form data-daybook-event="order" onsubmit="return false"><input><button id="order">order</button></form>
    <p data-daybook-event="outer"><i data-daybook-event="inner">inner</i></p>`)
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await page.click('#call')
    await page.click('b', {button: 'right'})
    await page.click('b', {button: 'middle'})
    await page.click('b')
    await page.click('input')
    await page.click('#order')
    await page.click('i')
    await answered(events, 6)
    assert.deepEqual(types(events), ['page_view', 'early', 'signup', 'play', 'order', 'inner'])
    const signup = JSON.parse(events[2].postData())
    assert.deepEqual(signup, {
      site_id: 'events', event_type: 'signup', event_id: signup.event_id, path: url, user_id: '7', country: 'NZ'
    })
  })
  await daybook.expect('events', one({
    events: 6, views: 1, users: 2, path: {'/events': 1},
    event_type: {page_view: 1, early: 1, signup: 1, play: 1, order: 1, inner: 1}
  }))
})

test('a click on a label, of which the browser makes two, is counted once', async () => {
  const url = pages.add('/label', tracker('label') + `
    <label data-daybook-event="agree"><input type="checkbox"><span>I agree</span></label>`)
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await page.click('span')
    assert.ok(await page.isChecked('input'))
    await page.click('span')
    await page.click('input')
    await answered(events, 4)
    assert.deepEqual(types(events), ['page_view', 'agree', 'agree', 'agree'])
  })
  await daybook.expect('label', one({
    events: 4, views: 1, event_type: {page_view: 1, agree: 3}, path: {'/label': 1}
  }))
})

test('links to elsewhere and to files are counted by option', async () => {
  const host = name => new URL(pages.origin(name)).host
  pages.add('/there', 'there')
  pages.handle('/files/prices.PDF', (request, answer) => answer.writeHead(204).end())
  const links = `
    <a id="inside" href="/links?page=2" onclick="return false">inside</a>
    <a id="mail" href="mailto:shop@shop.test" onclick="return false">mail</a>
    <a id="outside" href="${pages.origin('elsewhere.test')}/there?secret=1#2"><span>outside</span></a>
    <a id="file" href="/files/prices.PDF?secret=1">prices</a>`
  for (const [site, attributes] of [['links', 'data-outbound data-downloads="zip, pdf"'], ['no-links', '']]) {
    const url = pages.add(`/${site}`, tracker(site, attributes) + links)
    await visit(browser, async (page, events) => {
      await page.goto(url)
      await answered(events, 1)
      await page.click('#inside')
      await page.click('#mail')
      await page.click('#file')
      await page.click('#outside', {button: 'right'})
      const tab = page.context().waitForEvent('page')
      await page.click('#outside', {button: 'middle'})
      await tab
      await page.click('#outside span')
      await page.waitForURL(pages.origin('elsewhere.test') + '/there?secret=1#2')
      const targets = events.slice(1).map(event => JSON.parse(event.postData()).path)
      assert.deepEqual(targets, attributes ? [host('shop.test') + '/files/prices.PDF', ...Array(2).fill(host('elsewhere.test') + '/there')] : [])
    })
  }
  await daybook.expect('links', one({
    events: 4, views: 1, event_type: {page_view: 1, download: 1, outbound_link: 2}, path: {'/links': 1}
  }))
  await daybook.expect('no-links', one({events: 1, views: 1, event_type: {page_view: 1}, path: {'/no-links': 1}}))
})

test('whoever opted out is not counted', async () => {
  const url = pages.add('/opt-out', tracker('opt-out') + '<button data-daybook-event="play">play</button>')
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await answered(events, 1)
    await page.evaluate(() => localStorage.setItem('daybook_ignore', 'true'))
    await page.click('button')
    await page.reload()
    await page.click('button')
    assert.equal(events.length, 1)
    await page.evaluate(() => localStorage.removeItem('daybook_ignore'))
    await page.click('button')
    await answered(events, 2)
  })
  await daybook.expect('opt-out', one({
    events: 2, views: 1, event_type: {page_view: 1, play: 1}, path: {'/opt-out': 1}
  }))
})

test('opting out also stops what waits for the page to be seen, or for another try', async () => {
  pages.handle('/broken/event', (request, answer) => answer.writeHead(503, {'Access-Control-Allow-Origin': '*'}).end())
  const url = pages.add('/opt-out-late', tracker('opt-out-late', `data-api="${pages.origin('proxy.test')}/broken/event"`))
  await visit(browser, async (page, events) => {
    await page.clock.install()
    await hide(page)
    await page.goto(url)
    await page.evaluate(() => {
      window.daybook('held')
      localStorage.setItem('daybook_ignore', 'true')
      window.become('visible')
      localStorage.removeItem('daybook_ignore')
      window.daybook('tried')
    })
    await eventually('an answer', async () => (await events[0]?.existingResponse())?.status() === 503)
    await page.evaluate(() => localStorage.setItem('daybook_ignore', 'true'))
    await page.clock.runFor(allRetries)
    await page.evaluate(() => {
      localStorage.removeItem('daybook_ignore')
      window.daybook('last')
    })
    await eventually('the last event', () => types(events).includes('last'))
    assert.deepEqual(types(events), ['tried', 'last'])
  })
})

test('a page that may not have a storage is counted', async () => {
  pages.add('/sandboxed', tracker('sandboxed'))
  const url = pages.add('/frame', '<iframe src="/sandboxed" sandbox="allow-scripts"></iframe>')
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await answered(events, 1)
    assert.equal(await events[0].headerValue('origin'), 'null')
  })
  await daybook.expect('sandboxed', one({events: 1, views: 1, event_type: {page_view: 1}, path: {'/sandboxed': 1}}))
})

test('pages of the own machine are counted only if they are told to', async () => {
  for (const [site, attributes, number] of [['local', '', 0], ['told-local', 'data-local', 2]]) {
    pages.add(`/${site}`, tracker(site, attributes))
    for (const host of ['localhost', '127.0.0.1']) {
      await visit(browser, async (page, events) => {
        await page.goto(pages.origin(host) + `/${site}`)
        await page.evaluate(() => window.daybook('signup'))
        await answered(events, number)
        assert.equal(events.length, number)
      })
    }
  }
  await daybook.expect('local', none)
  await daybook.expect('told-local', one({
    events: 4, views: 2, event_type: {page_view: 2, signup: 2}, path: {'/told-local': 2}
  }))
})

test('a page that nobody has seen is counted once somebody sees it', async () => {
  const url = pages.add('/hidden', tracker('hidden') + '<p>seen</p>')
  await visit(browser, async (page, events) => {
    await hide(page)
    await page.goto(url)
    await page.evaluate(() => window.daybook('played'))
    await page.evaluate(() => history.pushState(null, '', '/hidden/moved'))
    assert.equal(events.length, 0)
    await page.evaluate(() => window.become('visible'))
    await answered(events, 2)
    await page.evaluate(() => window.become('hidden'))
    await page.evaluate(() => window.become('visible'))
    await page.evaluate(() => window.daybook('played'))
    await answered(events, 3)
  })
  await daybook.expect('hidden', one({
    events: 3, views: 1, event_type: {page_view: 1, played: 2}, path: {'/hidden/moved': 1}
  }))
})

test('a page that is prerendered is counted when it is opened', async () => {
  let prerendering, open
  pages.handle('/told-prerendering', async (request, answer) => {
    for await (const part of request) prerendering = String(part)
    answer.writeHead(204).end()
  })
  pages.handle('/opened', (request, answer) => { open = () => answer.writeHead(204).end() })
  pages.add('/prerendered', tracker('prerendered') + `<script>
    addEventListener('load', () => fetch('/told-prerendering', {method: 'POST', body: String(document.prerendering)}))
  </script>`)
  const url = pages.add('/prerendering', `
    <script type="speculationrules">{"prerender": [{"source": "list", "urls": ["/prerendered"], "eagerness": "immediate"}]}</script>
    <script>fetch('/opened').then(() => { location.href = '/prerendered' })</script>`)
  await unwatched(url, async () => {
    await eventually('the page that is prerendered', () => prerendering && open)
    assert.equal(prerendering, 'true')
    await daybook.expect('prerendered', none)
    open()
    await daybook.expect('prerendered', one({
      events: 1, views: 1, event_type: {page_view: 1}, path: {'/prerendered': 1}
    }))
  })
})

test('a page that the browser had put aside is seen again', async () => {
  const url = pages.add('/again', tracker('again'))
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await answered(events, 1)
    await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true})))
    await answered(events, 2)
  })
  await daybook.expect('again', one({events: 2, views: 2, event_type: {page_view: 2}, path: {'/again': 2}}))
})

test('the script twice in a page counts once', async () => {
  const url = pages.add('/twice', tracker('twice') + tracker('twice'))
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await page.evaluate(() => window.daybook('signup'))
    await answered(events, 2)
  })
  await daybook.expect('twice', one({events: 2, views: 1, event_type: {page_view: 1, signup: 1}, path: {'/twice': 1}}))
})

test('an event is sent from a page that is closed at once', async () => {
  const url = pages.add('/closed', tracker('closed') + '<button data-daybook-event="leave">leave</button>')
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await answered(events, 1)
    await page.evaluate(() => addEventListener('pagehide', () => window.daybook('gone')))
    await page.evaluate(() => document.querySelector('button').click())
    await page.close({runBeforeUnload: true})
    await daybook.expect('closed', one({
      events: 3, views: 1, event_type: {page_view: 1, leave: 1, gone: 1}, path: {'/closed': 1}
    }))
  })
})

test('an event goes on when its page is gone', async () => {
  // It is sent on to Daybook only then, which a browser does not do for the
  // usual requests of a page.
  let goOn
  pages.handle('/slow/event', (request, answer) => {
    goOn = () => answer.writeHead(307, {Location: daybook.ingest + '/event', 'Access-Control-Allow-Origin': '*'}).end()
  })
  const url = pages.add('/left', tracker('left', `data-api="${pages.origin('proxy.test')}/slow/event"`))
  await visit(browser, async page => {
    await page.goto(url)
    await eventually('the event', () => goOn)
    await page.close({runBeforeUnload: true})
    await eventually('the page to be gone', () => page.isClosed())
    goOn()
    await daybook.expect('left', one({events: 1, views: 1, event_type: {page_view: 1}, path: {'/left': 1}}))
  })
})

test('a browser without keepalive sends beacons', async () => {
  const url = pages.add('/beacon', tracker('beacon'))
  await visit(browser, async page => {
    await page.addInitScript(() => delete Request.prototype.keepalive)
    await page.goto(url)
    await page.close({runBeforeUnload: true})
    await daybook.expect('beacon', one({events: 1, views: 1, event_type: {page_view: 1}, path: {'/beacon': 1}}))
  })
})

test('what is refused is sent once', async () => {
  const url = pages.add('/refused', tracker('refused'))
  await visit(browser, async (page, events) => {
    await page.clock.install()
    await page.goto(url)
    await page.evaluate(() => window.daybook('wrong', {utm_source: 'x'.repeat(300)}))
    await eventually('the refusal', async () => (await events[1]?.existingResponse())?.status() === 422)
    await page.evaluate(() => window.daybook('right'))
    await answered(events, 2)
    await page.clock.runFor(allRetries)
    await page.evaluate(() => window.daybook('last'))
    await answered(events, 3)
    assert.deepEqual(types(events), ['page_view', 'wrong', 'right', 'last'])
  })
})

test('a page that breaks fetch sees nothing of it', async () => {
  const url = pages.add('/broken-fetch', `
    <script>
      const answers = [async () => {}, () => { throw Error('broken') }, async () => { throw Error('away') }]
      window.calls = 0
      window.fetch = () => answers[calls++ % 3]()
    </script>` + tracker('broken-fetch'))
  await visit(browser, async (page, events) => {
    const calls = number => page.waitForFunction(number => window.calls === number, number)
    await page.clock.install()
    await page.goto(url)
    await calls(1)
    await page.clock.runFor(1000)
    await calls(2)
    await page.evaluate(() => window.daybook('signup'))
    await page.clock.runFor(1000)
    await calls(4)
    await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide')))
    await calls(5)
    assert.equal(events.length, 0)
  })
})

test('a script that cannot count says so', async () => {
  const src = `src="${daybook.ingest}/js/daybook.js"`
  for (const [pathname, line] of [['/no-site', `<script ${src}></script>`],
    ['/module', `<script type="module" ${src} data-site="module"></script>`]]) {
    const url = pages.add(pathname, line)
    await visit(browser, async (page, events) => {
      const warned = page.waitForEvent('console', message => message.type() === 'warning')
      await page.goto(url)
      assert.match((await warned).text(), /data-site=/)
      assert.equal(events.length, 0)
    })
  }
})

test('what a server that is away did not get is sent again and counted once', async () => {
  const url = pages.add('/away', tracker('away') + '<button data-daybook-event="play">play</button>')
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await answered(events, 1)
    await daybook.pause()
    const failed = page.context().waitForEvent('requestfailed')
    await page.click('button')
    await failed
    await daybook.resume()
    await answered(events, 2)
    const [, first, ...again] = events.map(event => event.postData())
    assert.ok(again.length > 0)
    for (const body of again) assert.equal(body, first)
  })
  await daybook.expect('away', one({events: 2, views: 1, event_type: {page_view: 1, play: 1}, path: {'/away': 1}}))
})

test('what was counted without an answer is sent again and counted once, also from a page that is left', async () => {
  // A server between the page and Daybook passes events on, and then answers
  // the first tries as if something had gone wrong.
  const wrong = [answer => answer.destroy(), answer => answer.writeHead(503, {'Access-Control-Allow-Origin': '*'}).end()]
  const tries = []
  pages.handle('/numbers/event', async (request, answer) => {
    let body = ''
    for await (const part of request) body += part
    tries.push(body)
    const {'user-agent': agent, origin} = request.headers
    const passed = await daybook.post(JSON.parse(body), {'User-Agent': agent, Origin: origin})
    assert.equal(passed.status, 202)
    if (wrong.length > 0) wrong.shift()(answer)
    else answer.writeHead(202, {'Access-Control-Allow-Origin': '*'}).end()
  })
  const url = pages.add('/unanswered', tracker('unanswered', `data-api="${pages.origin('proxy.test')}/numbers/event"`))
  await visit(browser, async page => {
    await page.goto(url)
    await page.waitForFunction(() => performance.getEntriesByType('resource').some(entry => entry.responseStatus === 503))
    await page.close({runBeforeUnload: true}) // without the 5 seconds up to the third one
    await eventually('the third try', () => tries.length === 3)
  })
  assert.equal(new Set(tries).size, 1)
  await daybook.expect('unanswered', one({events: 1, views: 1, event_type: {page_view: 1}, path: {'/unanswered': 1}}))
})

test('the policy that the documentation gives is enough', async () => {
  const url = pages.add('/policy', tracker('policy'), {
    'Content-Security-Policy': `default-src 'none'; script-src ${daybook.ingest}; connect-src ${daybook.ingest}`,
    'Cross-Origin-Embedder-Policy': 'require-corp'
  })
  await visit(browser, async (page, events) => {
    await page.goto(url)
    await answered(events, 1)
  })
  await daybook.expect('policy', one({events: 1, views: 1, event_type: {page_view: 1}, path: {'/policy': 1}}))
})

test('a headless browser is filtered, and counted as that', async () => {
  const url = pages.add('/headless', tracker('headless'))
  const headless = await open({headless: true})
  try {
    await visit(headless, async (page, events) => {
      await page.goto(url)
      await page.evaluate(() => window.daybook('signup'))
      await answered(events, 2)
    })
  } finally {
    await headless.close()
  }
  await daybook.expect('headless', {...none, bot: {headless: 2}})
})

test('a page without scripts is counted by its image', async () => {
  const image = `${daybook.ingest}/pixel.gif?site_id=no-scripts&amp;path=/no-scripts`
  const url = pages.add('/no-scripts', tracker('no-scripts') + `<noscript><img src="${image}" alt="" hidden></noscript>`)
  await visit(browser, async (page, events) => { // with scripts the image is not loaded
    await page.goto(url)
    await answered(events, 1)
  })
  await visit(browser, async page => {
    const loaded = page.waitForResponse(/pixel\.gif/)
    await page.goto(url)
    assert.equal((await loaded).status(), 200)
  }, {javaScriptEnabled: false})
  await daybook.expect('no-scripts', one({
    events: 2, views: 2, event_type: {page_view: 2}, path: {'/no-scripts': 2}
  }))
})
