// What pages can send to a server that is closed: events of the sites that
// allow their origin, with the public key that stands in them.
import assert from 'node:assert/strict'
import {after, before, test} from 'node:test'
import {Daybook, eventually} from './daybook.js'
import {open, Pages, visit} from './browser.js'

let daybook, pages, browser, publicKey, serverKey

before(async () => {
  daybook = await Daybook.start()
  pages = await Pages.start()
  browser = await open()
  await daybook.pause() // what it finds when it starts is known at once
  await daybook.command('sites', 'add', 'shop', '--origins', pages.origin())
  publicKey = await daybook.command('keys', 'create', '--site', 'shop', '--scope', 'ingest', '--public')
  serverKey = await daybook.command('keys', 'create', '--site', 'shop', '--scope', 'ingest')
  await daybook.resume()
  for (const [name, key] of [['no key', ''], ['the public key', publicKey]]) {
    const line = `<script defer src="${daybook.ingest}/js/daybook.js" data-site="shop" data-key="${key}"></script>`
    const image = `<noscript><img src="${daybook.ingest}/pixel.gif?site_id=shop&amp;path=/image&amp;key=${key}" alt=""></noscript>`
    pages.add('/' + name.replaceAll(' ', '-'), line + image)
  }
})

after(async () => {
  await browser?.close()
  await pages?.stop()
  await daybook?.stop()
})

// answer waits for the answer to a request, and gives its status; null is one
// that the server refused and the browser so does not let the page have.
async function answer(find) {
  const request = await eventually('a request', find)
  return eventually('an answer', async () => {
    if (request.failure()) return {status: null}
    const answer = await request.existingResponse()
    return answer && {status: answer.status()}
  }).then(({status}) => status)
}

// load opens a page with scripts, and gives the first answer to its event.
async function load(url) {
  let status
  await visit(browser, async (page, events) => {
    await page.goto(url)
    status = await answer(() => events[0])
  })
  return status
}

// show opens a page without scripts, and gives the answer to its image.
async function show(url) {
  let status
  await visit(browser, async page => {
    let image
    page.on('request', request => {
      if (request.url().includes('/pixel.gif?')) image = request
    })
    await page.goto(url)
    status = await answer(() => image)
  }, {javaScriptEnabled: false})
  return status
}

test('pages of the allowed origin count with the public key, and no others', async () => {
  assert.equal(await load(pages.origin() + '/the-public-key'), 202)
  assert.equal(await show(pages.origin() + '/the-public-key'), 200)

  assert.equal(await load(pages.origin('copied.test') + '/the-public-key'), null)
  assert.equal(await show(pages.origin('copied.test') + '/the-public-key'), null)
  assert.equal(await load(pages.origin() + '/no-key'), 401)
  assert.equal(await show(pages.origin() + '/no-key'), null)

  await daybook.expect('shop', {
    events: 2, views: 2, users: 1, event_type: {page_view: 2}, path: {'/the-public-key': 1, '/image': 1},
    browser: {Chrome: 2}, os: {Linux: 2}, device: {desktop: 2}
  }, serverKey)

  await daybook.command('keys', 'revoke', publicKey)
  await eventually('the key to be revoked', async () => await show(pages.origin() + '/the-public-key') === null)
  await visit(browser, async (page, events) => {
    await page.clock.install()
    await page.goto(pages.origin() + '/the-public-key')
    assert.equal(await answer(() => events[0]), 401)
    await page.evaluate(() => window.daybook('signup'))
    assert.equal(await answer(() => events[1]), 401)
    await page.clock.runFor(60_000) // longer than all waits for another try together
    await page.evaluate(() => window.daybook('last'))
    assert.equal(await answer(() => events[2]), 401)
    assert.match(events[2].postData(), /"last"/) // nothing was sent again before it
  })
})
