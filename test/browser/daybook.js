// A Daybook that a test starts, reads and stops: the built binary with all
// roles in one process.
import assert from 'node:assert/strict'
import {execFile, spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import path from 'node:path'
import {createInterface} from 'node:readline'
import {setTimeout as pause} from 'node:timers/promises'
import {promisify} from 'node:util'

const binary = path.resolve(import.meta.dirname, '../../bin/daybook')
const log = path.resolve(import.meta.dirname, '../../internal/importer/testdata/semicomplete-2015-05.log.gz')

// patience is how long something may take that happens at once on a machine
// that does nothing else, in milliseconds.
const patience = 30_000

// eventually waits until look gives something that is true, and gives it back.
export async function eventually(what, look) {
  const deadline = Date.now() + patience
  for (;;) {
    const seen = await look()
    if (seen) return seen
    assert.ok(Date.now() < deadline, `waited ${patience / 1000} s in vain for ${what}`)
    await pause(20)
  }
}

const bearer = key => key ? {Authorization: `Bearer ${key}`} : {}

export class Daybook {
  #data
  #process
  #ports = {ingest: 0, report: 0}
  #ends = new Map() // by site, how many events came from expect itself

  // start gives one with a directory of its own, which listens on ports that
  // are free.
  static async start() {
    const daybook = new Daybook()
    daybook.#data = await mkdtemp(path.join(tmpdir(), 'daybook-browser-'))
    await daybook.resume()
    return daybook
  }

  // resume starts it on the directory and the ports that it had.
  async resume() {
    this.#process = spawn(binary, [
      'serve', '--data', this.#data, '--log-format', 'json',
      '--ingest-addr', `127.0.0.1:${this.#ports.ingest}`, '--report-addr', `127.0.0.1:${this.#ports.report}`
    ], {stdio: ['ignore', 'ignore', 'pipe']})
    const said = []
    for await (const line of createInterface({input: this.#process.stderr})) {
      said.push(line)
      const {msg, ingest, report} = line.startsWith('{') ? JSON.parse(line) : {}
      if (msg !== 'ready') continue
      this.#ports = {ingest: new URL(`http://${ingest}`).port, report: new URL(`http://${report}`).port}
      this.#process.stderr.resume()
      return
    }
    assert.fail(`daybook ended before it was ready:\n${said.join('\n')}`)
  }

  // pause ends it with what it accepted written down.
  async pause() {
    if (this.#process.exitCode !== null) return
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    const [code] = await exited
    assert.equal(code, 0, 'exit code after SIGTERM')
  }

  async stop() {
    await this.pause()
    await rm(this.#data, {recursive: true})
  }

  // ingest is where pages find it.
  get ingest() {
    return `http://stats.test:${this.#ports.ingest}`
  }

  // report is where people find the dashboard, and programs the statistics.
  get report() {
    return `http://127.0.0.1:${this.#ports.report}`
  }

  // command runs an operator's command, and gives what it says on stdout.
  async command(...args) {
    const {stdout} = await promisify(execFile)(binary, [...args, '--data', this.#data])
    return stdout.trim()
  }

  // load imports the access log that the tests of the importer have, and waits
  // until it is counted.
  async load(site, key = '') {
    await promisify(execFile)(binary, [
      'import', log, '--site', site, '--to', `http://127.0.0.1:${this.#ports.ingest}`, '--key', key,
      '--state-file', path.join(this.#data, 'import')
    ])
    await this.holds(site, 9580, key)
  }

  // send sends events as a program does, and waits until the site has so many
  // in all.
  async send(site, events, total, key) {
    const answer = await fetch(`http://127.0.0.1:${this.#ports.ingest}/events`, {
      method: 'POST', headers: {'Content-Type': 'application/json', ...bearer(key)},
      body: JSON.stringify(events.map(event => ({site_id: site, ...event})))
    })
    assert.deepEqual(await answer.json(), {accepted: events.length, rejected: []})
    await this.holds(site, total, key)
  }

  // holds waits until so many events of a site are counted.
  holds(site, total, key) {
    return eventually(`${total} events of ${site}`, async () =>
      (await this.ask('/stats', {site_id: site}, key)).total_events === total)
  }

  // ask asks the report role as a program does, and gives what it answers: the
  // text of what is no JSON.
  async ask(question, parameters = {}, key) {
    const url = new URL(question, this.report)
    url.search = new URLSearchParams(Object.entries(parameters).flatMap(([name, value]) => [value].flat().map(one => [name, one])))
    const answer = await fetch(url, {headers: bearer(key)})
    assert.equal(answer.status, 200, url.href)
    return answer.headers.get('Content-Type').includes('json') ? answer.json() : answer.text()
  }

  // counted gives all that the rollups have of a site: its events, views and
  // users, and of each dimension that has any the values with their counts.
  async counted(site) {
    const stats = await this.ask('/stats', {site_id: site})
    const counted = {events: stats.total_events, views: stats.total_views, users: stats.unique_users}
    for (const dimension of ['event_type', 'path', 'referrer', 'browser', 'os', 'device', 'utm_source', 'bot']) {
      const {rows} = await this.ask('/stats/breakdown', {site_id: site, dimension, limit: 1000})
      if (rows.length > 0) {
        counted[dimension] = Object.fromEntries(rows.map(row => [row.value, row.events ?? row.views]))
      }
    }
    return counted
  }

  // expect waits until so many events of a site are counted or filtered as
  // there should be, and then holds that they are what they should be and that
  // there are no more. Whatever was accepted before is counted by then: it is
  // in one stream with an event that comes last, for which a server that is
  // closed needs a key.
  async expect(site, expected, key) {
    const total = counted => counted.events + Object.values(counted.bot ?? {}).reduce((a, b) => a + b, 0)
    let counted
    try {
      await eventually(`the events of ${site}`, async () => {
        counted = await this.counted(site)
        return total(counted) - (this.#ends.get(site) ?? 0) >= total(expected)
      })
    } catch (e) {
      assert.deepEqual(counted, expected)
      throw e
    }
    const ends = (this.#ends.get(site) ?? 0) + 1
    this.#ends.set(site, ends)
    await this.#send({site_id: site, event_type: 'end_of_test'}, key)
    await eventually(`the last event of ${site}`, async () => (await this.counted(site)).event_type?.end_of_test === ends)
    counted = await this.counted(site)
    counted.events -= ends
    delete counted.event_type.end_of_test
    if (Object.keys(counted.event_type).length === 0) delete counted.event_type
    assert.deepEqual(counted, expected)
  }

  async #send(event, key) {
    const answer = await this.post(event, bearer(key))
    assert.equal(answer.status, 202, await answer.text())
  }

  // post sends an event as a program does.
  post(event, headers = {}) {
    return fetch(this.ingest.replace('stats.test', '127.0.0.1') + '/event', {
      method: 'POST', headers: {'Content-Type': 'text/plain', ...headers}, body: JSON.stringify(event)
    })
  }
}
