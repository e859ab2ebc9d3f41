// A browser in which a test opens pages, and the server that has them.
import assert from 'node:assert/strict'
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdtemp, rm} from 'node:fs/promises'
import {createServer} from 'node:http'
import {tmpdir} from 'node:os'
import path from 'node:path'
import {chromium} from 'playwright-core'

const executablePath = '/usr/bin/chromium'
const person = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'

// All hosts under .test are this machine: the tracker does not count pages of
// localhost.
const hosts = '--host-resolver-rules=MAP *.test 127.0.0.1'

// open starts Debian's Chromium. It calls itself what a person's browser does,
// unless the test is about the other.
export function open({headless = false} = {}) {
  return chromium.launch({executablePath, args: [hosts, ...headless ? [] : [`--user-agent=${person}`]]})
}

// unwatched lets Chromium open a page with nothing that looks into it, since it
// prerenders no pages for those who do, and only on origins that it trusts.
export async function unwatched(url, test) {
  const profile = await mkdtemp(path.join(tmpdir(), 'daybook-browser-'))
  const browser = spawn(executablePath, [
    '--headless', '--no-sandbox', '--no-first-run', `--user-data-dir=${profile}`, hosts, `--user-agent=${person}`,
    `--unsafely-treat-insecure-origin-as-secure=${new URL(url).origin}`, '--remote-debugging-port=0', url
  ], {stdio: 'ignore'})
  try {
    await test()
  } finally {
    const exited = once(browser, 'exit')
    browser.kill()
    await exited
    await rm(profile, {recursive: true, maxRetries: 50})
  }
}

// Pages is a server of pages, whatever the name of the host.
export class Pages {
  #server = createServer((request, answer) => {
    const {pathname} = new URL(request.url, 'http://shop.test')
    const serve = this.#pages.get(pathname)
    if (serve) serve(request, answer)
    else answer.writeHead(404).end()
  })
  #pages = new Map()

  static async start() {
    const pages = new Pages()
    pages.#server.listen(0, '127.0.0.1')
    await once(pages.#server, 'listening')
    return pages
  }

  async stop() {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  // origin is that of the pages under the name of a host.
  origin(host = 'shop.test') {
    return `http://${host}:${this.#server.address().port}`
  }

  // add adds a page and gives its URL.
  add(pathname, html, headers = {}) {
    this.handle(pathname, (request, answer) => {
      answer.writeHead(200, {'Content-Type': 'text/html; charset=utf-8', ...headers})
      answer.end(`<!doctype html><title>A shop</title>${html}`)
    })
    return this.origin() + pathname
  }

  // handle adds a path with what answers its requests.
  handle(pathname, serve) {
    this.#pages.set(pathname, serve)
  }
}

// visit gives a fresh page, as of somebody who was never here before, to a test
// and closes it afterwards. Nothing may go wrong in it that a page could see.
export async function visit(browser, test, options = {}) {
  const context = await browser.newContext(options)
  const errors = []
  context.on('weberror', error => errors.push(error.error()))
  const page = await context.newPage()
  const events = []
  context.on('request', request => {
    if (request.method() === 'POST') events.push(request)
  })
  try {
    await test(page, events)
    assert.deepEqual(errors, [])
  } finally {
    await context.close()
  }
}
