// How the dashboard is made: that everybody can use it, and that it is small.
import assert from 'node:assert/strict'
import {after, before, test} from 'node:test'
import axe from 'axe-core'
import {Daybook} from './daybook.js'
import {open} from './browser.js'
import {look, signIn} from './dashboard.js'

let daybook, browser, adminKey

const log = '/sites/semicomplete?from=2015-05-17&to=2015-05-20'

before(async () => {
  daybook = await Daybook.start()
  browser = await open()
  await daybook.pause() // what it finds when it starts is known at once
  adminKey = await daybook.command('keys', 'create', '--site', '*', '--scope', 'admin')
  await daybook.resume()
  await daybook.load('semicomplete', adminKey)
})

after(async () => {
  await browser?.close()
  await daybook?.stop()
})

// check holds that axe finds nothing in a page as it stands that keeps people
// out, and reports what is less than that.
async function check(page, t) {
  await page.evaluate(axe.source)
  const {violations} = await page.evaluate(tags => window.axe.run({runOnly: {type: 'tag', values: tags}}),
    ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'])
  const found = violations.map(({id, impact, help, nodes}) =>
    `${impact}: ${id}: ${help}: ${nodes.map(node => node.html.slice(0, 200)).join(' ')}`)
  for (const text of found) t.diagnostic(text)
  assert.deepEqual(found.filter(text => /^(serious|critical)/.test(text)), [])
  // A page that is wider than its window has to be read line by line.
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  assert.ok(wider <= 0, `${page.url()} is ${wider} px wider than its window`)
}

// states are the pages as they can be, each with what leads to it.
const states = {
  'a site': async page => {
    await page.goto(log)
    await page.getByRole('slider').waitFor()
    await page.getByRole('link', {name: '/favicon.ico', exact: true}).waitFor()
  },
  'a site with filters, compared, with the chart as a table': async page => {
    await page.goto(log.replace('17', '19') + '&compare=previous&filter=path~/blog/*&interval=hour')
    await page.getByRole('button', {name: 'Show as table'}).click()
    await page.getByRole('button', {name: '+ Filter'}).click()
    await page.getByRole('button', {name: 'Custom'}).click()
    await page.getByRole('slider').focus()
  },
  'a whole table': async page => {
    await page.goto(log + '&detail=path')
    await page.getByRole('dialog').getByRole('link', {name: '/favicon.ico', exact: true}).waitFor()
  },
  'a question that is refused': async page => {
    await page.goto('/sites/semicomplete?period=fortnight')
    await page.getByRole('alert').first().waitFor()
  },
  'a period without events': async page => {
    await page.goto('/sites/semicomplete')
    await page.getByRole('heading', {name: /^Nothing was counted/}).waitFor()
  },
  'a site without events': async page => {
    await page.goto('/sites/new')
    await page.getByRole('heading', {name: /^Nothing of new/}).waitFor()
    await page.getByText('Visitors without scripts').click()
  },
  'sharing a site': async page => {
    await page.goto(log)
    await page.getByRole('button', {name: 'Share'}).click()
    await page.getByRole('button', {name: 'Make a link'}).click()
    await page.getByLabel('Share link').waitFor()
    await page.getByRole('button', {name: /^Revoke/}).first().click()
  },
  'all sites': async page => {
    await page.goto('/')
    await page.getByRole('rowheader', {name: 'semicomplete'}).waitFor()
  },
  operators: async page => {
    await page.goto('/operators')
    await page.getByLabel('Site', {exact: true}).fill('semicomplete')
    await page.getByRole('button', {name: 'Rebuild', exact: true}).click()
    await page.getByRole('cell', {name: /^done/}).first().waitFor()
  },
  'a page that is not there': async page => {
    await page.goto('/operators')
    await page.evaluate(() => { history.pushState(null, '', '/nothing'); dispatchEvent(new PopStateEvent('popstate')) })
    await page.getByRole('heading', {name: 'There is nothing here'}).waitFor()
  }
}

const looks = {
  light: {colorScheme: 'light'},
  dark: {colorScheme: 'dark'},
  'on a phone': {colorScheme: 'light', viewport: {width: 360, height: 740}, hasTouch: true}
}

for (const [name, options] of Object.entries(looks)) {
  test(`nothing keeps people out, ${name}`, async t => {
    await look(browser, daybook, async page => {
      await t.test('signing in', async t => {
        await page.goto('/')
        await page.getByRole('heading', {name: 'Sign in'}).waitFor()
        await check(page, t)
        await signIn(page, 'db_read_wrong')
        await page.getByRole('alert').filter({hasText: /key/}).waitFor()
        await check(page, t)
        await signIn(page, adminKey)
        await page.getByRole('rowheader', {name: 'semicomplete'}).waitFor()
      })
      for (const [state, reach] of Object.entries(states)) {
        await t.test(state, async t => {
          await reach(page)
          await check(page, t)
        })
      }
    }, {reducedMotion: 'reduce', ...options})
  })
}

// cold loads a site's page with nothing in the browser's cache, and tells what
// that took. The page is there once its headline is.
async function cold(page, network) {
  const devtools = await page.context().newCDPSession(page)
  const urls = new Map()
  const bytes = {files: 0, answers: 0}
  devtools.on('Network.responseReceived', ({requestId, response}) => urls.set(requestId, new URL(response.url).pathname))
  devtools.on('Network.loadingFinished', ({requestId, encodedDataLength}) => {
    bytes[/^\/(stats|session|admin|status)\b/.test(urls.get(requestId)) ? 'answers' : 'files'] += encodedDataLength
  })
  await devtools.send('Network.enable')
  await devtools.send('Network.setCacheDisabled', {cacheDisabled: true})
  if (network) await devtools.send('Network.emulateNetworkConditions', {offline: false, ...network})
  await page.goto(log)
  const headline = await page.waitForFunction(() => /\d/.test(document.querySelector('main strong')?.textContent) && performance.now(), null, {polling: 'raf'})
  const chart = await page.waitForFunction(() => document.querySelector('[role=slider] canvas') && performance.now(), null, {polling: 'raf'})
  await page.waitForLoadState('networkidle')
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime)
  const ms = [paint, await headline.jsonValue(), await chart.jsonValue()].map(Math.round)
  return {bytes, ms: {paint: ms[0], headline: ms[1], chart: ms[2]}}
}

// fast3G is what Chromium's developer tools call so.
const fast3G = {latency: 562.5, downloadThroughput: 180_000, uploadThroughput: 84_375}

test('the dashboard is small', async t => {
  for (const [name, network] of [['this machine', null], ['fast 3G', fast3G]]) {
    const runs = []
    for (let i = 0; i < 5; i++) {
      await look(browser, daybook, async page => {
        await page.context().setExtraHTTPHeaders({Authorization: `Bearer ${adminKey}`})
        runs.push(await cold(page, network))
      })
    }
    const median = what => runs.map(run => run.ms[what]).sort((a, b) => a - b)[2]
    const {files, answers} = runs[0].bytes
    t.diagnostic(`${name}: ${files} bytes of files and ${answers} of answers; ` +
      `first contentful paint ${median('paint')} ms, headline ${median('headline')} ms, chart ${median('chart')} ms (medians of 5)`)
    assert.ok(files > 0 && files < 120 << 10, `${files} bytes of files`)
  }
})
