// The page of a site shows what the API says. The site has a real access log,
// of which it is known what a correct import gives.
import assert from 'node:assert/strict'
import {readFile} from 'node:fs/promises'
import {after, before, test} from 'node:test'
import {Daybook} from './daybook.js'
import {open, Pages, visit} from './browser.js'
import {average, change, count, estimate, headline, look, percent, rows, shows, span, tabTo} from './dashboard.js'

let daybook, browser

const site = 'semicomplete'
const log = '/sites/semicomplete?from=2015-05-17&to=2015-05-20'
const days = {site_id: site, from: '2015-05-17', to: '2015-05-20'}

before(async () => {
  daybook = await Daybook.start()
  browser = await open()
  await daybook.load(site)
  // What the log does not have.
  await daybook.send('shop', [
    ['page_view', 'alice', {path: '/', country: 'DE', browser: 'Firefox', os: 'Linux', device: 'desktop', utm_source: 'letter', utm_medium: 'mail', utm_campaign: 'spring'}],
    ['page_view', 'alice', {path: '/prices', country: 'DE', browser: 'Firefox', os: 'Linux', device: 'desktop'}],
    ['purchase', 'alice', {path: '/prices', country: 'DE', browser: 'Firefox', os: 'Linux', device: 'desktop'}],
    ['page_view', 'bob', {path: '/', country: 'FR', browser: 'Safari', os: 'iOS', device: 'mobile', referrer: 'https://news.example/today'}],
    ['page_view', 'carol', {path: '/', browser: 'Chrome', os: 'Android', device: 'mobile'}]
  ].map(([event_type, user_id, fields]) => ({event_type, user_id, ...fields})), 5)
})

after(async () => {
  await browser?.close()
  await daybook?.stop()
})

// region is a part of a site's page.
const region = (page, name) => page.getByRole('region', {name, exact: true})
const chip = (page, text) => region(page, 'Filters').getByRole('listitem').filter({hasText: text})

// numbers gives the headline as the API says it should be.
async function numbers(question) {
  const {total, change: more, compare} = await daybook.ask('/stats/timeseries', question)
  const visits = await daybook.ask('/stats/visits', question)
  // Where there was no visit there is nothing to be more or less than.
  const beside = (write, now, before, share) => compare ? [write(now), `${before === null ? '' : change(share) + ' '}from ${write(before)}`] : write(now)
  const counted = (name, error) => compare
    ? [estimate(total[name], total[error]), `${change(more[name])} from ${estimate(compare.total[name], compare.total[error])}`]
    : estimate(total[name], total[error])
  const ofVisits = (name, write) => beside(n => n === null ? '–' : write(n), visits[name], visits.compare?.[name], visits.change?.[name])
  return {
    Visitors: counted('users', 'users_error'),
    Visits: compare
      ? [estimate(visits.visits, visits.visits_error), `${change(visits.change.visits)} from ${estimate(visits.compare.visits, visits.compare.visits_error)}`]
      : estimate(visits.visits, visits.visits_error),
    'Page views': counted('views'),
    Events: counted('events'),
    'Views per visit': ofVisits('views_per_visit', average),
    'Bounce rate': ofVisits('bounce_rate', percent),
    'Visit duration': ofVisits('average_duration', span)
  }
}

const showsNumbers = async (page, question) => shows(() => headline(page), await numbers(question))

// table gives the rows of a card as the API says they should be.
async function table(question) {
  const answer = await daybook.ask('/stats/breakdown', {limit: 9, ...question})
  const users = answer.rows.some(row => row.users !== null)
  return answer.rows.map(row => [
    row.value,
    ...users ? [row.users === null ? '–' : estimate(row.users, row.users_error)] : [],
    estimate(row[answer.metric], row.visits_error),
    percent(row.share)
  ])
}

test('the headline has what is known of the log, and what the API says', async () => {
  const {total, buckets} = await daybook.ask('/stats/timeseries', days)
  assert.equal(total.events, 9580)
  assert.equal(total.views, 9580)
  assert.ok(Math.abs(total.users - 1792) <= 3 * total.users_error, `${total.users} users`)
  assert.deepEqual(buckets.slice(0, 3).map(b => b.events), [1535, 2767, 2795])
  await look(browser, daybook, async page => {
    await page.goto(log)
    await showsNumbers(page, days)
    assert.equal((await headline(page)).Events, '9,580')
    await page.getByText('from rollups').waitFor()
  })
})

test('the chart is there as a table, too', async () => {
  await look(browser, daybook, async page => {
    for (const interval of ['day', 'hour']) {
      await page.goto(log)
      await page.getByRole('combobox', {name: /^By/}).selectOption(interval)
      await page.getByRole('button', {name: 'Show as table'}).click()
      const {buckets} = await daybook.ask('/stats/timeseries', {...days, interval})
      const shown = page.getByRole('table', {name: `By ${interval}, May 17, 2015 – May 20, 2015`})
      await shows(async () => (await rows(shown)).map(([, ...cells]) => cells), buckets.map(b => [
        estimate(b.users, b.users_error), ...interval === 'hour' ? [] : [estimate(b.visits, b.visits_error)], count(b.views), count(b.events)
      ]))
    }
  })
})

// cards has the tables of each card by their names.
const cards = {
  Pages: {Pages: 'path', 'Entry pages': 'entry_page', 'Exit pages': 'exit_page'},
  Sources: {Referrers: 'referrer', 'UTM sources': 'utm_source', 'UTM media': 'utm_medium', 'UTM campaigns': 'utm_campaign'},
  Places: {Countries: 'country'},
  Devices: {Browsers: 'browser', Systems: 'os', Devices: 'device'},
  Events: {Events: 'event_type', Bots: 'bot'}
}
const countries = {DE: 'Germany', FR: 'France'}

test('each table has what the API says', async () => {
  await look(browser, daybook, async page => {
    for (const [path, question] of [[log, days], ['/sites/shop', {site_id: 'shop', period: '30d'}]]) {
      await page.goto(path)
      for (const [card, tables] of Object.entries(cards)) {
        for (const [name, dimension] of Object.entries(tables)) {
          if (Object.keys(tables).length > 1) await region(page, card).getByRole('link', {name, exact: true}).first().click()
          const expected = (await table({...question, dimension})).map(([value, ...cells]) => [countries[value] ?? value, ...cells])
          if (expected.length > 0) await shows(() => rows(region(page, card).getByRole('table', {name: new RegExp(`^${name}, by`)})), expected)
          else await region(page, card).getByText(/^No /).waitFor()
        }
      }
    }
    await page.goto(log)
    const first = (await rows(region(page, 'Pages').getByRole('table')))[0]
    assert.deepEqual([first[0], first[2]], ['/favicon.ico', '799'])
  })
})

test('a whole table is there page by page', async () => {
  await look(browser, daybook, async page => {
    await page.goto(log)
    await region(page, 'Pages').getByRole('link', {name: 'All 1,259'}).click()
    const dialog = page.getByRole('dialog', {name: 'Pages'})
    await dialog.getByRole('link', {name: 'Next'}).click()
    await shows(() => rows(dialog.getByRole('table')), await table({...days, dimension: 'path', limit: 100, page: 2}))
    await page.keyboard.press('Escape')
    await dialog.waitFor({state: 'detached'})
    await showsNumbers(page, days)
  })
})

test('periods are in the URL, so that a view can be loaded again, and left and come back to', async () => {
  await look(browser, daybook, async page => {
    const period = page.getByRole('navigation', {name: 'Period'})
    await page.goto('/sites/semicomplete')
    await page.getByRole('heading', {name: /^Nothing was counted/}).waitFor()
    await page.getByRole('link', {name: 'Show all that there is'}).click()
    await showsNumbers(page, {site_id: site, period: 'all'})
    assert.match(page.url(), /\?period=all$/)

    await period.getByRole('button', {name: 'Custom'}).click()
    await period.getByLabel('From').fill('2015-05-18')
    await period.getByLabel('to', {exact: true}).fill('2015-05-19')
    await period.getByRole('button', {name: 'Show'}).click()
    const two = {site_id: site, from: '2015-05-18', to: '2015-05-19'}
    await showsNumbers(page, two)
    assert.match(page.url(), /\?from=2015-05-18&to=2015-05-19$/)
    await page.reload()
    await showsNumbers(page, two)

    await period.getByRole('link', {name: 'Earlier'}).click()
    await showsNumbers(page, {site_id: site, from: '2015-05-16', to: '2015-05-17'})
    await page.goBack()
    await showsNumbers(page, two)
    await page.goBack()
    await showsNumbers(page, {site_id: site, period: 'all'})
    await page.goForward()
    await showsNumbers(page, two)
  })
})

test('the words for periods are those of the API', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/sites/shop')
    const period = page.getByRole('navigation', {name: 'Period'})
    for (const [name, word] of Object.entries({Today: 'today', '7 days': '7d', '30 days': '30d', Month: 'month', Year: 'year', All: 'all'})) {
      const link = period.getByRole('link', {name, exact: true})
      await link.click()
      assert.equal(await link.getAttribute('aria-current'), 'true')
      await showsNumbers(page, {site_id: 'shop', period: word})
    }
  })
})

test('a click on a row filters by it, and the numbers are counted from raw events', async () => {
  await look(browser, daybook, async page => {
    await page.goto(log)
    await region(page, 'Pages').getByRole('link', {name: '/favicon.ico', exact: true}).click()
    const icon = {...days, filter: ['path==/favicon.ico']}
    await showsNumbers(page, icon)
    assert.equal((await headline(page))['Page views'], '799')
    await page.getByText('from raw events').waitFor()
    assert.ok(await chip(page, 'Page is /favicon.ico').isVisible())

    const {rows: [{value}]} = await daybook.ask('/stats/breakdown', {...icon, dimension: 'referrer', limit: 1})
    await region(page, 'Sources').getByRole('link', {name: value, exact: true}).click()
    await showsNumbers(page, {...days, filter: ['path==/favicon.ico', `referrer==${value}`]})
    await page.reload()
    await showsNumbers(page, {...days, filter: ['path==/favicon.ico', `referrer==${value}`]})

    await page.getByRole('button', {name: `Remove the filter: Referrer is ${value}`}).click()
    await showsNumbers(page, icon)
    await chip(page, 'Page is').getByRole('button', {name: /^exclude/}).click()
    await showsNumbers(page, {...days, filter: ['path!=/favicon.ico']})
    await page.getByRole('button', {name: 'Remove the filter: Page is not /favicon.ico'}).click()
    await showsNumbers(page, days)
    assert.doesNotMatch(page.url(), /filter/)

    await page.getByRole('button', {name: '+ Filter'}).click()
    await page.getByLabel('Dimension').selectOption('Page')
    await page.getByLabel('Operator').selectOption('is like')
    await page.getByLabel('Value').fill('/blog/*')
    await page.getByRole('button', {name: 'Add'}).click()
    await showsNumbers(page, {...days, filter: ['path~/blog/*']})
    await page.goto(log + '&filter=path%3D%3D/nothing')
    await page.getByRole('heading', {name: 'No event passes these filters in this period'}).waitFor()
    await page.getByRole('link', {name: 'Remove all filters'}).click()
    await showsNumbers(page, days)
  })
})

test('another period stands beside the one that is shown', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/sites/semicomplete?from=2015-05-19&to=2015-05-20')
    await page.getByLabel('Compare with').selectOption('the period before')
    const compared = {site_id: site, from: '2015-05-19', to: '2015-05-20', compare: 'previous'}
    await showsNumbers(page, compared)
    assert.match((await headline(page)).Events[1], /from 4,302$/) // 1,535 and 2,767

    const answer = await daybook.ask('/stats/breakdown', {...compared, dimension: 'path', limit: 9})
    const seen = async () => (await rows(region(page, 'Pages').getByRole('table'))).map(([path, , views, , before, share]) => [path, views, before, share])
    await shows(seen, answer.rows.map((row, i) => {
      const before = answer.compare.rows[i].views
      return [row.value, count(row.views), count(before), before ? change(row.views / before - 1) : 'new']
    }))
    await page.reload()
    await showsNumbers(page, compared)
    await page.getByLabel('Compare with').selectOption('a year earlier')
    await showsNumbers(page, {...compared, compare: 'year'})
  })
})

test('what is shown can be saved as CSV', async () => {
  await look(browser, daybook, async page => {
    await page.goto(log + '&filter=path~/blog/*')
    for (const [name, question, parameters] of [
      ['Pages', '/stats/breakdown', {dimension: 'path', limit: 1000}],
      ['Browsers', '/stats/breakdown', {dimension: 'browser', limit: 1000}],
      ['the chart', '/stats/timeseries', {interval: 'day'}]
    ]) {
      const saved = page.waitForEvent('download')
      await page.getByRole('button', {name: `CSV of ${name}`}).click()
      const file = await saved
      assert.match(file.suggestedFilename(), /semicomplete.*\.csv$/)
      assert.equal(await readFile(await file.path(), 'utf8'),
        await daybook.ask(question, {...days, filter: 'path~/blog/*', ...parameters, format: 'csv'}))
    }
  })
})

test('texts of strangers are texts, whatever they look like', async () => {
  const [script, image, svg] = ['<script>window.ran = 1</script>', '<img src=x onerror="window.ran = 2">', '"><svg onload="window.ran = 3">']
  const javascript = 'javascript:window.ran=4'
  await daybook.send('hostile', [image, 'page_view'].map(event_type => ({
    event_type, path: '/' + script, referrer: svg, user_id: script, country: image, device: svg, browser: script, os: image,
    utm_source: javascript, utm_medium: svg, utm_campaign: image
  })), 2)
  const [path, referrer] = await Promise.all(['path', 'referrer'].map(async dimension =>
    (await daybook.ask('/stats/breakdown', {site_id: 'hostile', dimension})).rows[0].value))
  assert.match(path, /^\/<script>/)
  assert.match(referrer, /^"><svg /)
  const texts = [path, path, path, referrer, javascript, svg, image, image, script, image, svg, image]
  await look(browser, daybook, async page => {
    const names = Object.entries(cards).flatMap(([card, tables]) => Object.keys(tables).map(name => [card, name])).filter(([, name]) => name !== 'Bots')
    await page.goto('/sites/hostile')
    for (const [i, [card, name]] of names.entries()) {
      if (card !== 'Places') await region(page, card).getByRole('link', {name, exact: true}).first().click()
      await shows(async () => (await rows(region(page, card).getByRole('table', {name: new RegExp(`^${name}, by`)})))[0][0], texts[i])
      const filter = region(page, card).getByRole('link', {name: texts[i], exact: true})
      if (!await filter.count()) continue // pages of visits are no filters
      await filter.click()
      await chip(page, texts[i]).waitFor()
      assert.match(await filter.getAttribute('href'), /^\/sites\/hostile\?/)
      await page.goBack()
    }
    for (const text of [script.replace('/', ''), image, svg]) {
      await page.goto('/sites/' + encodeURIComponent(text))
      await page.getByRole('heading', {name: `Statistics of ${text}`}).waitFor()
      await page.getByRole('alert').filter({hasText: 'site_id'}).first().waitFor()
      const odd = encodeURIComponent(text)
      await page.goto(`/sites/hostile?period=${odd}&compare=${odd}&interval=${odd}&metric=${odd}&filter=${odd}&filter=path==${odd}&pages=${odd}&detail=${odd}&page=${odd}`)
      await page.getByRole('alert').first().waitFor()
    }
    assert.equal(await page.evaluate(() => window.ran), undefined)
  })
})

test('whoever is there now is seen', async () => {
  await daybook.send('now', [{event_type: 'page_view', path: '/', user_id: 'alice'}], 1)
  await look(browser, daybook, async page => {
    await page.clock.install()
    await page.goto('/sites/now')
    await page.getByText('1 visitor now').waitFor()
    await daybook.send('now', [{event_type: 'page_view', path: '/', user_id: 'bob'}], 2)
    await page.clock.fastForward('00:10')
    await page.getByText('2 visitors now').waitFor()
    await showsNumbers(page, {site_id: 'now', period: '30d'})
  })
})

test('a site without events shows a line that counts, and is live with the first event', async () => {
  const pages = await Pages.start()
  try {
    await look(browser, daybook, async page => {
      await page.goto('/sites/new')
      await page.getByRole('heading', {name: 'Nothing of new was counted yet'}).waitFor()
      const line = await page.getByLabel('Line of the tracker').textContent()
      assert.match(line, /^<script defer src="http:\/\/127\.0\.0\.1:\d+\/js\/daybook\.js" data-site="new"/)
      await page.evaluate(() => { window.loaded = 'once' })
      await visit(browser, async visitor => {
        await visitor.goto(pages.add('/welcome', line))
        await shows(async () => await headline(page).catch(() => null), {
          Visitors: '1', Visits: '1', 'Page views': '1', Events: '1', 'Views per visit': '1', 'Bounce rate': '100 %', 'Visit duration': '0 s'
        })
      })
      await shows(async () => (await rows(region(page, 'Pages').getByRole('table')))[0][0], '/welcome')
      assert.equal(await page.evaluate(() => window.loaded), 'once')
    })
  } finally {
    await pages.stop()
  }
})

test('a keyboard alone is enough', async () => {
  await look(browser, daybook, async page => {
    await page.goto(log)
    await showsNumbers(page, days)
    const chart = page.getByRole('slider')
    await tabTo(page, chart)
    await page.keyboard.press('Home')
    assert.match(await chart.getAttribute('aria-valuetext'), /17, 2015.*Visitors: 3\d\d/)
    await page.keyboard.press('ArrowRight')
    assert.match(await chart.getAttribute('aria-valuetext'), /18, 2015.*Visitors: 6\d\d/)

    const views = region(page, 'In numbers').getByRole('link', {name: /^Page views/})
    await page.reload()
    await tabTo(page, views)
    await page.keyboard.press('Enter')
    await shows(() => views.getAttribute('aria-current'), 'true')
    await tabTo(page, chart)
    await page.keyboard.press('Home')
    await shows(async () => /Page views: 1,535/.test(await chart.getAttribute('aria-valuetext')), true)

    await tabTo(page, region(page, 'Pages').getByRole('link', {name: '/favicon.ico', exact: true}))
    await page.keyboard.press('Enter')
    await showsNumbers(page, {...days, filter: ['path==/favicon.ico']})
    await tabTo(page, page.getByRole('button', {name: 'Remove the filter: Page is /favicon.ico'}))
    await page.keyboard.press('Enter')
    await showsNumbers(page, days)
    await tabTo(page, page.getByRole('navigation', {name: 'Period'}).getByRole('link', {name: 'Earlier'}))
    await page.keyboard.press('Enter')
    await page.getByRole('heading', {name: /^Nothing was counted/}).waitFor()
  })
})

test('while the server is away the numbers stay and it is said, and then they are fresh again', async () => {
  await daybook.send('away', [{event_type: 'page_view', path: '/', user_id: 'alice'}], 1)
  await look(browser, daybook, async page => {
    await page.clock.install()
    await page.goto('/sites/away')
    const question = {site_id: 'away', period: '30d'}
    const before = await numbers(question)
    await shows(() => headline(page), before)
    const banner = page.getByRole('status').filter({hasText: 'The server cannot be reached'})
    await daybook.pause()
    try {
      await page.clock.fastForward('00:10')
      await banner.waitFor()
      assert.deepEqual(await headline(page), before)
    } finally {
      await daybook.resume()
    }
    await daybook.send('away', [{event_type: 'page_view', path: '/', user_id: 'bob'}], 2)
    await page.clock.fastForward('00:10')
    await banner.waitFor({state: 'detached'})
    await showsNumbers(page, question)
  })
})
