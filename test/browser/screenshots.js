// Takes the pictures of docs/images: run it with `make screenshots`. The site
// in them is made up, and the same each time but for its dates, which are those
// of the last 30 days.
import {mkdir, writeFile} from 'node:fs/promises'
import path from 'node:path'
import {Daybook} from './daybook.js'
import {open} from './browser.js'
import {signIn} from './dashboard.js'

const images = path.resolve(import.meta.dirname, '../../docs/images')

// random gives numbers from 0 to 1, the same ones each time (mulberry32, by
// Tommy Ettinger).
let seed = 8
function random() {
  seed = seed + 0x6D2B79F5 | 0
  let t = Math.imul(seed ^ seed >>> 15, 1 | seed)
  t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t
  return ((t ^ t >>> 14) >>> 0) / 2 ** 32
}

// pick draws one of the values, each as often as its weight says.
function pick(weights) {
  const all = Object.entries(weights)
  let left = random() * all.reduce((sum, [, weight]) => sum + weight, 0)
  return all.find(([, weight]) => (left -= weight) < 0)[0]
}

const paths = {
  '/': 30, '/products': 16, '/products/teapot': 14, '/products/kettle': 9, '/products/cups': 8, '/products/strainer': 4, '/prices': 7,
  '/blog/how-to-brew-oolong': 12, '/blog/green-or-black': 7, '/blog/water': 4, '/about': 4, '/contact': 3, '/shipping': 5
}
const countries = {DE: 30, FR: 14, US: 13, GB: 10, AT: 7, NL: 6, CH: 5, PL: 4, JP: 3, IT: 3, SE: 2, BR: 1}
const referrers = {'': 38, Google: 30, 'news.ycombinator.com': 6, DuckDuckGo: 6, Bing: 5, 'tea-forum.example': 7, Mastodon: 4, Reddit: 4}
const campaigns = {'': 84, 'newsletter email autumn': 9, 'tea-forum banner autumn': 4, 'partner referral teapots': 3}
const machines = {
  'Chrome Windows desktop': 24, 'Safari iOS mobile': 22, 'Chrome Android mobile': 19, 'Safari macOS desktop': 11, 'Firefox Windows desktop': 8,
  'Firefox Linux desktop': 6, 'Edge Windows desktop': 6, 'Safari iOS tablet': 4
}
// How many come at each hour of a day, and on each day of a week from Sunday.
const hours = [2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 9, 9, 9, 9, 9, 9, 10, 11, 13, 14, 12, 8, 4]
const weekdays = [1.15, 0.95, 0.9, 0.92, 0.95, 1, 1.2]

// visit is what somebody does who comes at a time.
function visit(user_id, time) {
  const [browser, os, device] = pick(machines).split(' ')
  const [utm_source, utm_medium, utm_campaign] = pick(campaigns).split(' ')
  const who = {user_id, country: pick(countries), browser, os, device}
  const events = []
  let at = time
  const add = event => events.push({...who, timestamp: new Date(at).toISOString(), ...event})
  const pages = random() < 0.42 ? 1 : 2 + Math.floor(random() * 5)
  for (let i = 0; i < pages; i++) {
    const from = i > 0 ? {} : utm_source ? {utm_source, utm_medium, utm_campaign} : {referrer: pick(referrers)}
    add({event_type: 'page_view', path: pick(paths), ...from})
    at += 15_000 + random() * 120_000
  }
  if (pages > 2 && random() < 0.35) add({event_type: 'add_to_cart', path: '/products/teapot'})
  if (pages > 3 && random() < 0.3) add({event_type: 'purchase', path: '/prices'})
  if (random() < 0.04) add({event_type: 'signup', path: '/contact'})
  return events
}

// traffic gives the events of so many days up to now.
function traffic(days) {
  const now = Date.now()
  const today = new Date().setUTCHours(0, 0, 0, 0)
  const events = []
  for (let day = days - 1; day >= 0; day--) {
    const begin = today - day * 86_400_000
    const growth = 1 + 0.5 * (days - day) / days
    const visits = Math.round(95 * growth * weekdays[new Date(begin).getUTCDay()] * (0.9 + 0.2 * random()))
    for (let i = 0; i < visits; i++) {
      const hour = Number(pick(hours))
      events.push(...visit(`user-${Math.floor(random() ** 1.5 * 4000)}`, begin + (hour + random()) * 3_600_000))
    }
  }
  for (let i = 0; i < 7; i++) events.push(...visit(`user-now-${i}`, now - random() * 240_000))
  return events.filter(event => Date.parse(event.timestamp) <= now)
}

const daybook = await Daybook.start()
const browser = await open({headless: true})
try {
  await daybook.pause()
  const key = await daybook.command('keys', 'create', '--site', '*', '--scope', 'admin')
  await daybook.resume()
  const events = traffic(60)
  for (let sent = 0; sent < events.length; sent += 10_000) {
    await daybook.send('shop', events.slice(sent, sent + 10_000), Math.min(sent + 10_000, events.length), key)
  }
  await mkdir(images, {recursive: true})

  // take takes a picture of a page once it stands still.
  const take = async (name, address, ready, options) => {
    const context = await browser.newContext({baseURL: daybook.report, reducedMotion: 'reduce', ...options})
    const page = await context.newPage()
    await page.goto(address)
    await signIn(page, key)
    await ready(page)
    await page.waitForLoadState('networkidle')
    await page.evaluate(() => document.activeElement.blur())
    const file = path.join(images, name + '.png')
    const picture = await page.screenshot()
    await writeFile(file, picture)
    console.log(`${path.relative(process.cwd(), file)} has ${picture.length} bytes`)
    await context.close()
  }
  const chart = page => page.locator('[role=slider] canvas').waitFor()
  const desktop = {width: 1200, height: 1150}
  const phone = {viewport: {width: 390, height: 844}, deviceScaleFactor: 2, isMobile: true, hasTouch: true}
  await take('light', '/sites/shop?compare=previous', chart, {colorScheme: 'light', viewport: desktop})
  await take('dark', '/sites/shop?compare=previous', chart, {colorScheme: 'dark', viewport: desktop})
  await take('phone', '/sites/shop', chart, {colorScheme: 'light', ...phone})
  await take('operators', '/operators', async page => {
    await page.getByLabel('Site', {exact: true}).fill('shop')
    await page.getByRole('button', {name: 'Rebuild', exact: true}).click()
    await page.getByRole('cell', {name: /^done/}).first().waitFor()
    // The name of the machine that takes the pictures is nobody's business.
    await page.getByRole('table').filter({hasText: 'Owner'}).evaluate(streams => {
      for (const row of streams.tBodies[0].rows) row.cells[row.cells.length - 1].textContent = 'stats-1'
    })
  }, {colorScheme: 'light', viewport: desktop})
} finally {
  await browser.close()
  await daybook.stop()
}
