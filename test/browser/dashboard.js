// What a person sees of the dashboard, found as a screen reader finds it: by
// role and name.
import assert from 'node:assert/strict'
import {isDeepStrictEqual} from 'node:util'
import {eventually} from './daybook.js'
import {visit} from './browser.js'

// look gives a fresh page of a dashboard to a test. Nothing may go wrong in it,
// and nothing be tried that its policy forbids.
export function look(browser, daybook, test, options = {}) {
  return visit(browser, async page => {
    const forbidden = []
    page.on('console', message => {
      if (message.text().includes('Content Security Policy')) forbidden.push(message.text())
    })
    await test(page)
    assert.deepEqual(forbidden, [])
  }, {baseURL: daybook.report, viewport: {width: 1280, height: 900}, ...options})
}

// shows waits until what is read from a page is what is expected, and tells the
// difference when it does not become so.
export async function shows(read, expected) {
  let seen
  try {
    await eventually('the page', async () => isDeepStrictEqual(seen = await read(), expected))
  } catch (e) {
    assert.deepEqual(seen, expected)
    throw e
  }
}

// signIn gives a key to the form that asks for one.
export async function signIn(page, key) {
  await page.getByLabel(/^(Read or admin|Admin) key/).fill(key)
  await page.getByRole('button', {name: 'Sign in'}).click()
}

// tabTo moves the focus to an element as a keyboard does.
export async function tabTo(page, element) {
  for (let i = 0; i < 300; i++) {
    if (await element.evaluate(e => e === document.activeElement)) return
    await page.keyboard.press('Tab')
  }
  assert.fail(`no way by the tab key to ${element}`)
}

// headline reads the numbers of a site's page by their names: each with what
// stands beside it of the period that is compared.
export const headline = page => page.getByRole('region', {name: 'In numbers'}).getByRole('list').first().evaluate(list =>
  Object.fromEntries([...list.children].map(item => {
    const [label, value, before] = (item.querySelector('a') ?? item).children
    const text = e => e?.textContent.replace(/\s+/g, ' ').trim()
    return [text(label), before ? [text(value), text(before)] : text(value)]
  })))

// rows reads the rows of a table: of each the texts of its cells.
export const rows = table => table.evaluate(t =>
  [...t.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent.trim())))

// Numbers as the dashboard writes them.
const whole = new Intl.NumberFormat('en', {maximumFractionDigits: 0})
const oneDigit = new Intl.NumberFormat('en', {minimumFractionDigits: 1, maximumFractionDigits: 1})

export const count = n => whole.format(n)
export const average = n => new Intl.NumberFormat('en', {maximumFractionDigits: 2}).format(n)

// estimate is a number with how far off it is in 95 of 100 cases at most.
export function estimate(n, standardError) {
  const off = Math.round(1.96 * (standardError ?? 0))
  return off < 1 ? count(n) : `≈ ${count(n)} ± ${count(off)}`
}

export function percent(share) {
  const p = share * 100
  if (p > 0 && p < 0.1) return '< 0.1 %'
  return `${(p < 10 ? oneDigit : whole).format(p)} %`
}

// change is how much more or less there is than in another period.
export function change(share) {
  if (share === null) return 'new'
  const points = Math.abs(share * 100)
  const text = points < 10 ? points.toFixed(1) : points.toFixed(0)
  if (Number(text) === 0) return '= 0 %'
  return share > 0 ? `▲ ${text} % more` : `▼ ${text} % less`
}

// span is so many seconds.
export function span(seconds) {
  const s = Math.round(seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} m ${s % 60} s`
  return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} m`
}
