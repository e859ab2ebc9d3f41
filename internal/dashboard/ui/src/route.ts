// The URL is the only state of what is shown: a view can be reloaded, shared,
// and left and come back to with the browser's own buttons.
import {useSyncExternalStore} from 'react'

/** A dimension of events, or one of visits (entry_page, exit_page). */
export type Dimension = string

/** What the chart shows. */
export type Metric = 'users' | 'visits' | 'views' | 'events'
const metrics: readonly string[] = ['users', 'visits', 'views', 'events']

/** Is, is not, is like (with * and ?), as the API writes them; '' is none that anybody knows. */
export type Operator = '==' | '!=' | '~' | ''

export interface Filter {
  dimension: Dimension
  operator: Operator
  value: string
}

/** What is shown of a site. */
export interface View {
  site: string
  /** A word of the API; '' where from and to are given. */
  period: string
  from: string
  to: string
  compare: string
  /** '' is as the API thinks fit. */
  interval: string
  metric: Metric
  filters: Filter[]
  /** The tab that is open in each card, where it is not the first. */
  tabs: Record<string, Dimension>
  /** The dimension whose whole table is open, and which page of it. */
  detail: Dimension
  page: number
}

const defaultPeriod = '30d'

/** The cards of a site's page, and the tables in each. */
export const cards: Record<string, Dimension[]> = {
  pages: ['path', 'entry_page', 'exit_page'],
  sources: ['referrer', 'utm_source', 'utm_medium', 'utm_campaign'],
  places: ['country'],
  devices: ['browser', 'os', 'device'],
  events: ['event_type', 'bot']
}

const word = (text: string | null, allowed: readonly string[], otherwise: string) =>
  text !== null && allowed.includes(text) ? text : otherwise

/**
 * parseFilter reads a filter as the API writes it. What is none stays as it is,
 * for the API to say so: without it numbers would be wrong and look right.
 */
function parseFilter(text: string): Filter {
  const found = /^([a-z_]+)(==|!=|~)(.*)$/s.exec(text)
  if (!found) return {dimension: text, operator: '', value: ''}
  return {dimension: found[1]!, operator: found[2] as Operator, value: found[3]!}
}

export const filterText = (f: Filter) => f.dimension + f.operator + f.value

/** parseView reads a view from the URL of a site's page. */
export function parseView(url: URL): View | null {
  const site = /^\/sites\/([^/]+)$/.exec(url.pathname)?.[1]
  if (!site) return null
  const q = url.searchParams
  const [from, to] = [q.get('from') ?? '', q.get('to') ?? '']
  return {
    site: decodeSite(site),
    period: from || to ? '' : q.get('period') ?? defaultPeriod,
    from,
    to,
    compare: q.get('compare') ?? '',
    interval: q.get('interval') ?? '',
    metric: word(q.get('metric'), metrics, 'users') as Metric,
    filters: q.getAll('filter').map(parseFilter),
    tabs: Object.fromEntries(Object.entries(cards).flatMap(([card, tables]) => {
      const open = word(q.get(card), tables, '')
      return open ? [[card, open]] : []
    })),
    detail: word(q.get('detail'), Object.values(cards).flat(), ''),
    page: Math.max(1, Math.floor(Number(q.get('page')))) || 1
  }
}

/** A broken escape in a URL is what it looks like. */
function decodeSite(text: string) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** viewPath is the opposite of parseView; what is as usual is left out. */
export function viewPath(v: View): string {
  const q = new URLSearchParams()
  const add = (name: string, value: string, usual = '') => {
    if (value && value !== usual) q.append(name, value)
  }
  add('period', v.from || v.to ? '' : v.period, defaultPeriod)
  add('from', v.from)
  add('to', v.to)
  add('compare', v.compare)
  add('interval', v.interval)
  add('metric', v.metric, 'users')
  for (const f of v.filters) add('filter', filterText(f))
  for (const [card, open] of Object.entries(v.tabs)) add(card, open, cards[card]?.[0])
  add('detail', v.detail)
  add('page', String(v.page), '1')
  const query = q.toString().replaceAll('%2F', '/').replaceAll('%3D', '=')
  return sitePath(v.site) + (query && '?' + query)
}

export const sitePath = (site: string) => '/sites/' + encodeURIComponent(site)

/** questionOf gives the parameters that all questions about a view have. */
export function questionOf(v: View): Record<string, string | string[]> {
  return {
    site_id: v.site,
    ...v.from || v.to ? {from: v.from, to: v.to} : {period: v.period},
    ...v.compare && {compare: v.compare},
    ...v.filters.length > 0 && {filter: v.filters.map(filterText)}
  }
}

/**
 * The key of a share link: it stands behind the # of the URL, which browsers
 * send to nobody, and goes with every question in a header.
 */
export const sharedKey = () => new URLSearchParams(location.hash.slice(1)).get('key') ?? ''

const listeners = new Set<() => void>()
addEventListener('popstate', () => listeners.forEach(tell => tell()))

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** useHref gives the URL of the page, and follows it. */
export const useHref = () => useSyncExternalStore(subscribe, () => location.href)

let gone = false

/** hasGone tells whether another view was shown since the page was loaded. */
export const hasGone = () => gone

/** go shows another view; replace leaves none to come back to. */
export function go(path: string, {replace = false} = {}) {
  gone = true
  const target = path + (sharedKey() && location.hash)
  if (replace || new URL(target, location.href).href === location.href) history.replaceState(null, '', target)
  else history.pushState(null, '', target)
  listeners.forEach(tell => tell())
}
