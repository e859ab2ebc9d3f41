// The time of the server. That of this machine may be wrong, or be set wrong.

/** How much the server's clock is ahead, in milliseconds. */
let ahead = 0

/** setServerTime is told the time of the server, in whole seconds. */
export function setServerTime(time: number) {
  const seen = time - Date.now()
  // Less is the way of the answer, and the part of a second that was cut off.
  ahead = Math.abs(seen) < 5000 ? 0 : seen
}

/** clock is what the clocks of a time zone show now, as YYYY-MM-DDTHH:MM. */
export function clock(timezone: string): string {
  const show = (timeZone: string) =>
    new Intl.DateTimeFormat('sv-SE', {timeZone, dateStyle: 'short', timeStyle: 'short'}).format(Date.now() + ahead).replace(' ', 'T')
  try {
    return show(timezone)
  } catch {
    return show('UTC') // this browser does not know the zone
  }
}

/** today is the date in a time zone, as YYYY-MM-DD. */
export const today = (timezone: string) => clock(timezone).slice(0, 10)
