// How numbers, times and names are written.

const language = 'en'
const whole = new Intl.NumberFormat(language, {maximumFractionDigits: 0})
const oneDigit = new Intl.NumberFormat(language, {minimumFractionDigits: 1, maximumFractionDigits: 1})
const twoDigits = new Intl.NumberFormat(language, {maximumFractionDigits: 2})
const shortNumber = new Intl.NumberFormat(language, {notation: 'compact', maximumFractionDigits: 1})

export const count = (n: number) => whole.format(n)
export const short = (n: number) => shortNumber.format(n)
export const average = (n: number) => twoDigits.format(n)

export function percent(share: number): string {
  const p = share * 100
  if (p > 0 && p < 0.1) return '< 0.1 %'
  return (p < 10 ? oneDigit : whole).format(p) + ' %'
}

/** span writes seconds as people say them: 45 s, 3 m 20 s, 2 h 5 m. */
export function span(seconds: number): string {
  const s = Math.round(seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} m ${s % 60} s`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} m`
  return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3600) % 24} h`
}

/** ago writes how long ago a time was, for people who look at it. */
export const ago = (milliseconds: number) => milliseconds < 1000 ? 'just now' : `${span(milliseconds / 1000)} ago`

/**
 * margin makes of a standard error how far off an estimate is in 95 of 100
 * cases at most; 0 where that is less than one, which is as good as exact.
 */
export function margin(standardError: number | null | undefined): number {
  const m = Math.round(1.96 * (standardError ?? 0))
  return m < 1 ? 0 : m
}

// Dates are those of a site's time zone, and have no time: they are taken as
// if they were UTC from the beginning to the end.
const dateIn = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(language, {timeZone: 'UTC', ...options})
const weekday = dateIn({weekday: 'short', day: 'numeric', month: 'short', year: 'numeric'})
const day = dateIn({day: 'numeric', month: 'short', year: 'numeric'})
const dayOfYear = dateIn({day: 'numeric', month: 'short'})
const month = dateIn({month: 'long', year: 'numeric'})
const monthShort = dateIn({month: 'short', year: 'numeric'}) // May 15 is a day

const utc = (date: string) => new Date(date + (date.length === 10 ? 'T00:00Z' : 'Z'))

export const date = (text: string) => day.format(utc(text))

/** dates writes a period: one day, or from the first to the last. */
export const dates = (from: string, to: string) => from === to ? weekday.format(utc(from)) : `${date(from)} – ${date(to)}`

/** bucket names a bucket of a time series, in full or for an axis. */
export function bucket(start: string, interval: string, brief = false): string {
  switch (interval) {
    case 'hour': return brief ? start.slice(11) : `${weekday.format(utc(start))}, ${start.slice(11)}`
    case 'month': return (brief ? monthShort : month).format(utc(start))
    case 'week': return brief ? dayOfYear.format(utc(start)) : `week from ${date(start)}`
    default: return (brief ? dayOfYear : weekday).format(utc(start))
  }
}

/** addDays gives the date so many days later. */
export function addDays(text: string, days: number): string {
  const d = utc(text)
  d.setUTCDate(d.getUTCDate() + days)
  return d.toISOString().slice(0, 10)
}

/** time writes a moment of this machine's clock. */
export const time = (moment: number | string) => new Date(moment).toLocaleString(language, {dateStyle: 'medium', timeStyle: 'medium'})

const regions = new Intl.DisplayNames(language, {type: 'region'})

/** By dimension, what one value of it is called, and a table of them. */
const dimensions: Record<string, [string, string]> = {
  path: ['Page', 'Pages'], entry_page: ['Entry page', 'Entry pages'], exit_page: ['Exit page', 'Exit pages'],
  referrer: ['Referrer', 'Referrers'], utm_source: ['UTM source', 'UTM sources'],
  utm_medium: ['UTM medium', 'UTM media'], utm_campaign: ['UTM campaign', 'UTM campaigns'],
  country: ['Country', 'Countries'], browser: ['Browser', 'Browsers'], os: ['System', 'Systems'], device: ['Device', 'Devices'],
  event_type: ['Event', 'Events'], bot: ['Bot', 'Bots']
}

export const dimensionName = (dimension: string) => dimensions[dimension]?.[0] ?? dimension
export const tableName = (dimension: string) => dimensions[dimension]?.[1] ?? dimension

/** valueName writes a value of a dimension; '' is what has none. */
export function valueName(dimension: string, value: string): string {
  if (value === '') return '(none)'
  if (dimension === 'country' && /^[A-Z]{2}$/.test(value)) return regions.of(value) ?? value
  return value
}
