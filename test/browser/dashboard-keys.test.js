// Who sees what of the dashboard of a server that is closed: people who sign in
// with a key, and those who were sent a link.
import assert from 'node:assert/strict'
import {after, before, test} from 'node:test'
import {Daybook} from './daybook.js'
import {open} from './browser.js'
import {headline, look, rows, shows, signIn, tabTo} from './dashboard.js'

let daybook, browser, adminKey, shopKey

before(async () => {
  daybook = await Daybook.start()
  browser = await open()
  await daybook.pause() // what it finds when it starts is known at once
  adminKey = await daybook.command('keys', 'create', '--site', '*', '--scope', 'admin')
  await daybook.command('sites', 'add', 'shop')
  shopKey = await daybook.command('keys', 'create', '--site', 'shop', '--scope', 'read')
  await daybook.resume()
  await daybook.send('shop', [
    {event_type: 'page_view', path: '/', user_id: 'one'},
    {event_type: 'page_view', path: '/prices', user_id: 'one'},
    {event_type: 'signup', user_id: 'two'}
  ], 3, adminKey)
  await daybook.send('secret', [{event_type: 'page_view', path: '/', user_id: 'three'}], 1, adminKey)
})

after(async () => {
  await browser?.close()
  await daybook?.stop()
})

const asks = page => page.getByRole('heading', {name: 'Sign in'}).waitFor()

// numbers holds that a page shows those of the site shop.
async function numbers(page) {
  await page.getByRole('heading', {name: 'Statistics of shop'}).waitFor()
  await shows(async () => {
    const {Visitors, Events, 'Page views': views} = await headline(page)
    return {Visitors, Events, views}
  }, {Visitors: '2', Events: '3', views: '2'})
}

test('nobody sees anything without a key, and wrong keys are refused with words', async () => {
  await look(browser, daybook, async page => {
    for (const path of ['/', '/sites/shop', '/operators']) {
      await page.goto(path)
      await asks(page)
    }
    await page.goto('/sites/shop')
    await signIn(page, 'db_read_AAAAAAAAAA_wrong')
    await page.getByRole('alert').filter({hasText: /key/}).waitFor()
    assert.deepEqual(await page.context().cookies(), [])
  })
})

test('a read key opens its site and no other, in a cookie that no script can read', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/sites/shop')
    await signIn(page, shopKey)
    await numbers(page)

    const [cookie, ...others] = await page.context().cookies()
    assert.deepEqual(others, [])
    assert.equal(cookie.httpOnly, true)
    assert.equal(cookie.sameSite, 'Strict')
    assert.equal(await page.evaluate(() => document.cookie), '')
    assert.doesNotMatch(page.url(), /db_/)
    await page.reload()
    await numbers(page)

    await page.goto('/') // which leads to the one site
    await numbers(page)
    assert.equal(new URL(page.url()).pathname, '/sites/shop')
    assert.equal(await page.getByRole('link', {name: 'Operators'}).count(), 0)

    await page.goto('/sites/secret')
    await page.getByRole('alert').filter({hasText: /site/}).first().waitFor()

    await page.goto('/sites/shop')
    await page.getByRole('button', {name: 'Sign out'}).click()
    await asks(page)
    assert.deepEqual(await page.context().cookies(), [])
    await page.reload()
    await asks(page)
  })
})

test('somebody with a keyboard alone signs in and out', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/sites/shop')
    await asks(page)
    await tabTo(page, page.getByLabel('Read or admin key'))
    await page.keyboard.type(shopKey)
    await page.keyboard.press('Enter')
    await numbers(page)
    await tabTo(page, page.getByRole('button', {name: 'Sign out'}))
    await page.keyboard.press('Enter')
    await asks(page)
  })
})

test('a key that is revoked while a page shows what it opened, opens nothing any more', async () => {
  const key = await daybook.command('keys', 'create', '--site', 'shop', '--scope', 'read')
  await look(browser, daybook, async page => {
    await page.clock.install()
    await page.goto('/sites/shop')
    await signIn(page, key)
    await numbers(page)
    await daybook.command('keys', 'revoke', key)
    await page.clock.fastForward('00:10')
    await asks(page)
  })
})

test('an admin key opens all sites', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/')
    await signIn(page, adminKey)
    for (const site of ['secret', 'shop']) await page.getByRole('rowheader', {name: site}).waitFor()
    await page.getByRole('link', {name: 'shop'}).click()
    await numbers(page)
    await page.getByRole('link', {name: 'Operators'}).waitFor()
  })
})

test('a link shows a site to whoever has it, until it is revoked', async () => {
  await look(browser, daybook, async page => {
    await page.goto('/sites/shop?period=7d')
    await signIn(page, adminKey)
    await numbers(page)
    await page.getByRole('button', {name: 'Share'}).click()
    const dialog = page.getByRole('dialog', {name: 'Share shop'})
    await dialog.getByLabel(/^Note/).fill('for the press')
    await dialog.getByRole('button', {name: 'Make a link'}).click()
    const link = await dialog.getByLabel('Share link').textContent()
    assert.match(link, /\/sites\/shop\?period=7d#key=db_read_/)
    const row = dialog.getByRole('row').filter({hasText: 'share link: for the press'})
    await row.waitFor()

    await look(browser, daybook, async guest => {
      const asked = []
      guest.on('request', request => asked.push(request.url()))
      await guest.goto(link)
      await numbers(guest)
      assert.equal(await guest.getByRole('button', {name: 'Sign out'}).count(), 0)
      assert.equal(await guest.getByRole('link', {name: 'Operators'}).count(), 0)
      assert.equal(await guest.getByText('secret').count(), 0)
      await guest.getByRole('link', {name: '/prices', exact: true}).click()
      await guest.getByText('Page is /prices').waitFor()
      await guest.reload() // what is shared stays shared
      await guest.getByText('Page is /prices').waitFor()
      assert.deepEqual(await guest.context().cookies(), [])
      assert.deepEqual(asked.filter(url => url.includes('db_read') && !url.includes('#')), [])
      assert.equal(await guest.evaluate(() => document.referrer), '')

      await guest.goto(link.replace('/sites/shop', '/sites/secret'))
      await guest.getByRole('alert').filter({hasText: /site/}).first().waitFor()
      await guest.goto(link)
      await numbers(guest)

      await row.getByRole('button', {name: /^Revoke/}).click()
      await dialog.getByRole('group', {name: /for good/}).getByRole('button', {name: 'Revoke'}).click()
      await row.waitFor({state: 'detached'})
      await guest.reload()
      await guest.getByRole('heading', {name: 'This link does not work any more'}).waitFor()
      assert.equal(await guest.getByText('/prices').count(), 0)
    })
  })
})

test('operators see how everything stands, and rebuild days', async () => {
  await daybook.load('semicomplete', adminKey)
  await look(browser, daybook, async page => {
    await page.goto('/operators')
    await signIn(page, shopKey)
    await page.getByRole('alert').filter({hasText: /not an admin key of all sites/}).waitFor()
    await signIn(page, adminKey)
    await page.getByRole('heading', {name: 'How everything stands'}).waitFor()

    const status = await daybook.ask('/admin/status', {}, adminKey)
    const streams = page.getByRole('table', {name: /^Streams of the queue/})
    await shows(async () => (await rows(streams)).map(([stream, epoch, events, , , owner]) => [stream, epoch, events, owner]),
      status.streams.map(s => [s.stream, String(s.epoch), String(s.events), s.owner]))
    const fact = name => page.getByRole('region', {name: 'How it stands'}).locator('dl > div').filter({hasText: name}).locator('dd').first().textContent()
    await shows(async () => [await fact('Waiting to be counted'), await fact('Dead letters'), await fact('Schema of the store')],
      ['0 events', String(status.dead_letters), `${status.schema_version} of ${status.schema_latest}`])

    await page.getByLabel('Site', {exact: true}).fill('semicomplete')
    await page.getByLabel('From').fill('2015-05-17')
    await page.getByLabel('to', {exact: true}).fill('2015-05-19')
    await page.getByRole('button', {name: 'Rebuild', exact: true}).click()
    await page.getByText('The rebuild has begun').waitFor()
    const job = page.getByRole('table', {name: 'Jobs that rebuild days'}).getByRole('row').filter({hasText: 'Rebuild semicomplete 2015-05-17 to 2015-05-19'})
    await job.filter({hasText: 'done'}).filter({hasText: '3 of 3 days'}).waitFor()

    const [made] = await daybook.ask('/admin/rebuilds', {}, adminKey)
    assert.deepEqual({state: made.state, days: made.days, finished: made.finished, events: made.events},
      {state: 'done', days: 3, finished: 3, events: 1535 + 2767 + 2795})
    assert.ok(await job.getByRole('cell', {name: '7,097', exact: true}).isVisible())
  })
})
