// What the dashboard does where something is not as it should be: answers that
// fail, URLs and links that somebody made, browsers that forbid things or whose
// clock is wrong, and days that have no 24 hours.
import assert from 'node:assert/strict'
import {after, before, test} from 'node:test'
import {setTimeout as pause} from 'node:timers/promises'
import {Daybook, eventually} from './daybook.js'
import {open} from './browser.js'
import {headline, look, rows, shows, signIn} from './dashboard.js'

let daybook, closed, browser, adminKey, shopKey

const view = (user_id, fields = {}) => ({event_type: 'page_view', path: '/', user_id, ...fields})

before(async () => {
  [daybook, closed, browser] = await Promise.all([Daybook.start(), Daybook.start(), open()])
  await Promise.all([daybook.pause(), closed.pause()]) // what they find when they start is known at once
  await daybook.command('sites', 'add', 'berlin', '--timezone', 'Europe/Berlin')
  await closed.command('sites', 'add', 'shop')
  adminKey = await closed.command('keys', 'create', '--site', '*', '--scope', 'admin')
  shopKey = await closed.command('keys', 'create', '--site', 'shop', '--scope', 'read')
  await Promise.all([daybook.resume(), closed.resume()])
  await Promise.all([
    daybook.send('shop', [view('alice'), view('alice', {path: '/pricing'}), view('bob')], 3),
    daybook.send('blog', [view('carol')], 1),
    closed.send('shop', [view('alice')], 1, adminKey)
  ])
})

after(async () => {
  await browser?.close()
  await Promise.all([daybook?.stop(), closed?.stop()])
})

const events = async page => (await headline(page)).Events
const says = (page, text) => page.getByRole('status').filter({hasText: text})
const isOn = element => element.evaluate(e => e === document.activeElement)
const colours = page => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme)
const series = url => url.pathname === '/stats/timeseries'

// Polls that fail, each with which ones do, how they are answered, and what is said.
const troubles = {
  refused: [series, {status: 503, json: {error: 'the store is away'}},
    'the store is away. What you see is what was said before'],
  'cut off': [url => /^\/(stats|session)/.test(url.pathname), {contentType: 'application/json', body: '{"site_id":'},
    'The server cannot be reached. What you see is what it said last']
}

for (const [name, [concerns, answer, said]] of Object.entries(troubles)) {
  test(`when answers are ${name} what is shown stays and it is said, until there is one again`, async () => {
    const site = name.replace(' ', '-')
    await daybook.send(site, [view('alice')], 1)
    await look(browser, daybook, async page => {
      await page.clock.install()
      await page.goto(`/sites/${site}?detail=path`)
      const table = page.getByRole('dialog', {name: 'Pages'}).getByRole('table')
      await table.waitFor()
      const shown = async () => ({...await headline(page), rows: await rows(table), card: await rows(page.getByRole('region', {name: 'Pages'}).getByRole('table'))})
      await eventually('all numbers', async () => (await headline(page))['Visit duration'] === '0 s')
      const before = await shown()

      let failing = true
      await page.route(concerns, route => failing ? route.fulfill(answer) : route.continue())
      await page.clock.fastForward('00:10')
      await says(page, said).waitFor()
      assert.deepEqual(await shown(), before)
      assert.equal(await page.getByRole('alert').count(), 0)

      failing = false
      await daybook.send(site, [view('bob')], 2)
      await page.clock.fastForward('00:10')
      await shows(() => events(page), '2')
      await says(page, said).waitFor({state: 'detached'})
    })
  })
}

// Every page tells of what it cannot have anew.
for (const [path, endpoint] of [
  ['/operators', '/status'], ['/', '/stats/sites'], ['/sites/shop', '/stats/breakdown'], ['/sites/shop', '/stats/visits']
]) {
  test(`when ${endpoint} fails ${path} says so`, async () => {
    await look(browser, daybook, async page => {
      await page.clock.install()
      const answered = page.waitForResponse(answer => new URL(answer.url()).pathname === endpoint)
      await page.goto(path)
      await answered
      await page.getByRole('table').first().waitFor()
      await page.route(url => url.pathname === endpoint, route => route.fulfill({status: 503, json: {error: 'the store is away'}}))
      await page.clock.fastForward('00:31')
      await says(page, 'the store is away').first().waitFor()
    })
  })
}

test('a network that answers in the place of the server is not asked without a pause', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/sites/shop')
    await shows(() => events(page), '3')
    let asked = 0
    await page.route(url => /^\/(stats|session)/.test(url.pathname), route => {
      if (route.request().url().endsWith('/session')) asked++
      return route.fulfill({contentType: 'text/html', body: '<title>Welcome to our network</title>'})
    })
    await says(page, 'The server cannot be reached').waitFor()
    await pause(2000)
    assert.ok(asked <= 2, `/session was asked ${asked} times in two seconds`)
  })
})

test('a filter that nobody can read is refused and can be removed, and no numbers look as if it were none', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/sites/shop?filter=path=/pricing')
    await page.getByRole('alert').filter({hasText: 'filter has an operator that does not exist'}).waitFor()
    assert.equal(await page.getByRole('region', {name: 'In numbers'}).count(), 0)
    await page.getByRole('button', {name: 'Remove the filter: path=/pricing'}).click()
    await shows(() => events(page), '3')
    assert.doesNotMatch(page.url(), /filter/)
  })
})

test('what has filters is asked one after the other', async () => {
  await look(browser, daybook, async page => {
    const asked = []
    let [underWay, most] = [0, 0]
    await page.route(url => url.pathname.startsWith('/stats/') && url.searchParams.has('filter'), async route => {
      most = Math.max(most, ++underWay)
      const response = await route.fetch()
      await pause(50) // in which another one would come
      asked.push(new URL(route.request().url()).searchParams.get('dimension') ?? 'numbers')
      underWay--
      await route.fulfill({response})
    })
    await page.goto('/sites/shop?filter=path==/pricing')
    await shows(async () => asked.toSorted(), ['browser', 'country', 'event_type', 'numbers', 'numbers', 'path', 'referrer'])
    await shows(() => events(page), '1')
    assert.equal(most, 1)
  })
})

test('a period with one end that nothing is in says so', async () => {
  await look(browser, daybook, async page => {
    for (const end of ['from=2030-01-01', 'to=2001-01-01']) {
      await page.goto('/sites/shop?' + end)
      await page.getByRole('heading', {name: /^Nothing was counted/}).waitFor()
      await page.getByRole('link', {name: 'Show all that there is'}).click()
      await shows(() => events(page), '3')
    }
  })
})

test('a fault of the dashboard leaves a way out', async () => {
  await look(browser, daybook, async page => {
    await page.route(url => series(url) && url.searchParams.get('period') === 'today', route => route.fulfill({json: {total: {events: 1}}}))
    await page.goto('/sites/shop')
    await shows(() => events(page), '3')
    await page.getByRole('link', {name: 'Today'}).click()
    const fault = page.getByRole('heading', {name: 'The dashboard has a fault'})
    await fault.waitFor()
    await page.goBack()
    await shows(() => events(page).catch(() => null), '3')
    await page.goForward()
    await fault.waitFor()
    await page.getByRole('link', {name: 'Show all sites'}).click()
    await page.getByRole('rowheader', {name: 'shop'}).waitFor()
  })
})

test('a browser that lets pages remember nothing shows everything, in the colours that are chosen', async () => {
  await look(browser, daybook, async page => {
    await page.addInitScript(() => Object.defineProperty(window, 'localStorage', {
      get() { throw new DOMException('Access is denied for this document.', 'SecurityError') }
    }))
    await page.goto('/sites/shop')
    await shows(() => events(page), '3')
    for (const [name, scheme] of [['Dark', 'dark'], ['Light', 'light'], ['As the system', 'light dark']]) {
      await page.getByLabel('Colours').selectOption(name)
      assert.equal(await colours(page), scheme)
    }
    assert.equal(await events(page), '3')
  })
})

test('whoever signs in sees the colours that were chosen before', async () => {
  await look(browser, closed, async page => {
    await page.goto('/sites/shop')
    await signIn(page, shopKey)
    await page.getByLabel('Colours').selectOption('Dark')
    await page.getByRole('button', {name: 'Sign out'}).click()
    const form = page.getByRole('heading', {name: 'Sign in'})
    await form.waitFor()
    await page.reload()
    await form.waitFor()
    assert.equal(await colours(page), 'dark')
  })
})

test('where a page may not copy, it says what to do', async () => {
  await look(browser, daybook, async page => {
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, 'clipboard', {value: undefined})) // as over plain http
    await page.goto('/sites/new')
    await page.getByRole('button', {name: 'Copy'}).first().click()
    await says(page, 'select it, and copy it yourself').waitFor()
  })
})

test('hours of days that have no 24 of them are compared by the clock', async () => {
  const sent = {
    '2026-03-28T02:30:00+01:00': 3, '2026-03-28T03:30:00+01:00': 1, '2026-03-28T12:30:00+01:00': 2,
    '2026-03-29T01:30:00+01:00': 1, '2026-03-29T03:30:00+02:00': 2, '2026-03-29T12:30:00+02:00': 1,
    '2026-03-30T02:30:00+02:00': 1, '2026-03-30T12:30:00+02:00': 4
  }
  await daybook.send('berlin', Object.entries(sent).flatMap(([timestamp, n]) => Array(n).fill(view('alice', {timestamp}))), 15)
  const hours = Array.from({length: 24}, (_, hour) => String(hour).padStart(2, '0'))
  const without2 = hours.filter(hour => hour !== '02')
  const counted = (day, hour) => Object.entries(sent).find(([time]) => time.startsWith(`2026-03-${day}T${hour}`))?.[1] ?? 0
  await look(browser, daybook, async page => {
    for (const [day, weekday, these, before, weekdayBefore, others] of [
      [29, 'Sun', without2, 28, 'Sat', hours],
      [30, 'Mon', hours, 29, 'Sun', without2]
    ]) {
      await page.goto(`/sites/berlin?from=2026-03-${day}&to=2026-03-${day}&compare=previous&interval=hour&metric=events`)
      await page.getByRole('button', {name: 'Show as table'}).click()
      const table = page.getByRole('table', {name: `By hour, ${weekday}, Mar ${day}, 2026`})
      await shows(async () => (await rows(table)).map(cells => [cells[0], cells[3], cells[4]]), these.map(hour => [
        `${weekday}, Mar ${day}, 2026, ${hour}:00`, String(counted(day, hour)),
        others.includes(hour) ? `${counted(before, hour)} ${weekdayBefore}, Mar ${before}, 2026, ${hour}:00` : '–'
      ]))
    }
  })
})

test('the focus stays where one is, or goes where one goes on', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/sites/shop?filter=path==/pricing')
    await shows(() => events(page), '1')
    await page.getByRole('button', {name: 'Remove the filter: Page is /pricing'}).click()
    await shows(() => events(page), '3')
    assert.ok(await isOn(page.getByRole('button', {name: '+ Filter'})), 'the focus is on + Filter')

    const custom = page.getByRole('button', {name: 'Custom'})
    await custom.click()
    await page.getByRole('button', {name: 'Show', exact: true}).click()
    await custom.and(page.locator('[aria-current]')).waitFor()
    assert.ok(await isOn(custom), 'the focus is on Custom')

    const picker = page.getByRole('combobox', {name: 'Site'})
    await picker.focus()
    await picker.selectOption('blog')
    await page.getByRole('heading', {name: 'Statistics of blog'}).waitFor()
    await shows(() => events(page).catch(() => null), '1')
    assert.ok(await isOn(picker), 'the focus is on the picker')
  })
})

test('what is not yet known goes by the clock of the server', async () => {
  await look(browser, daybook, async page => {
    for (const days of [-1, 1]) {
      await page.clock.setFixedTime(Date.now() + days * 86_400_000)
      await page.goto('/sites/shop?period=7d')
      const chart = page.getByRole('slider')
      await chart.press('End')
      assert.match(await chart.getAttribute('aria-valuetext'), /, so far; Visitors: \d+$/, `${days} days ahead`)
    }
  })
})

test('a link that shows a site has nothing of the operator who opens it', async () => {
  await look(browser, closed, async page => {
    const share = page.getByRole('button', {name: 'Share'})
    await page.goto('/sites/shop')
    await signIn(page, adminKey)
    await share.waitFor()
    await page.goto('/sites/shop#key=' + shopKey) // which loads nothing anew
    await share.waitFor({state: 'detached'})
    await shows(() => events(page), '1')

    // What the operator may do becomes known only when the link is there.
    let held
    await page.route('/session', route => { held = route }, {times: 1})
    await page.goto('/sites/shop?period=7d')
    const late = await eventually('the first question', async () => held)
    await page.goto('/sites/shop?period=7d#key=' + shopKey)
    await shows(() => events(page).catch(() => null), '1')
    await late.continue()
    await eventually('its end', async () => late.request().failure() || await late.request().response())
    await page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))))
    assert.equal(await share.count(), 0)
  })
})

test('the same period again is no other view', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/sites/shop')
    const week = page.getByRole('link', {name: '7 days'})
    const length = () => page.evaluate(() => history.length)
    const before = await length()
    await week.click()
    await week.click()
    await shows(() => events(page), '3')
    assert.equal(await length(), before + 1)
  })
})

test('a site that only bots visited is not new', async () => {
  for (const path of ['/', '/pricing']) {
    const answer = await daybook.post({site_id: 'bots', ...view('', {path, user_agent: 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'})})
    assert.equal(answer.status, 202)
  }
  await eventually('both bots', async () => (await daybook.ask('/stats', {site_id: 'bots'})).bots === 2)
  await look(browser, daybook, async page => {
    await page.goto('/sites/bots')
    await page.getByText('Only bots were here, with 2 events').waitFor()
    assert.equal(await page.getByRole('heading', {name: /counted yet/}).count(), 0)
  })
})
