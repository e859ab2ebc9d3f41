// What waits, what is behind, and who is at it.
import type {ReactNode} from 'react'
import {ago, average, count, span, time} from '../format'
import {useSession} from '../hooks'
import type {Status, Stream} from './types'

/** mostLetters is how far the server counts dead letters. */
const mostLetters = 1000

function bytes(n: number): string {
  if (n < 1 << 10) return `${count(n)} bytes`
  return n < 1 << 20 ? `${average(n / (1 << 10))} KiB` : `${average(n / (1 << 20))} MiB`
}

/** before writes how long before the status of the server a moment was. */
const before = (status: Status, moment: string) => ago(Date.parse(status.time) - Date.parse(moment))

export function Standing({status}: {status: Status}) {
  const {session} = useSession()
  const {as_of, backlog, dead_letters: letters, schema_version: schema, schema_latest: latest} = status
  return (
    <section className="card stacked" aria-label="How it stands">
      <dl className="facts">
        <Fact name="Counted up to" value={as_of ? before(status, as_of) : 'not known'}>
          {as_of ? time(as_of) : status.streams?.length
            ? 'No worker has looked at all streams yet: does one run?'
            : 'Nothing has ever come in.'}
        </Fact>
        <Fact name="Waiting to be counted" value={backlog ? `${count(backlog.events)} ${backlog.events === 1 ? 'event' : 'events'}` : 'not known'}>
          {!backlog ? 'This process does not know the queue: give it --redis.'
            : backlog.events > 0 ? `${bytes(backlog.bytes)}, the oldest came ${span(backlog.seconds)} ago` : 'Nothing waits.'}
        </Fact>
        <Fact name="Dead letters" value={letters < mostLetters ? count(letters) : `${count(mostLetters)} or more`} alert={letters > 0}>
          {letters === 0 ? 'No event was put aside.' : <>These could not be counted. <code>daybook deadletters list</code> tells why; <code>replay</code> and <code>purge</code> take them away.</>}
        </Fact>
        <Fact name="Schema of the store" value={`${schema} of ${latest}`} alert={schema !== latest}>
          {schema < latest ? <>It is behind: stop all processes, and run <code>daybook migrate up</code>.</>
            : schema > latest ? 'It is newer than this program: run one of the newest version.' : 'It is the newest.'}
        </Fact>
        <Fact name="Daybook" value={session.version}>{time(status.time)} on the server</Fact>
      </dl>
    </section>
  )
}

/** Fact is one thing that is so, and what follows from it. */
export function Fact({name, value, alert = false, children}: {name: string; value: string; alert?: boolean; children: ReactNode}) {
  return (
    <div className={alert ? 'alert' : undefined}>
      <dt>{name}</dt>
      <dd className="value">{alert && <span aria-hidden="true">⚠ </span>}{value}</dd>
      <dd className="hint">{children}</dd>
    </div>
  )
}

export function Streams({status}: {status: Status}) {
  const streams = status.streams ?? []
  return (
    <section className="card stacked" aria-label="Streams">
      <h2>Streams</h2>
      {streams.length === 0 ? <p className="hint">There are none yet: they come with the first event.</p> : (
        <div className="scroll" role="region" aria-label="Table of streams" tabIndex={0}>
          <table className="tight">
            <caption className="unseen">Streams of the queue, those of older epochs first</caption>
            <thead>
              <tr>
                <th scope="col">Stream</th>
                <th scope="col" className="number">Epoch</th>
                <th scope="col" className="number">Events waiting</th>
                <th scope="col" className="number">Oldest</th>
                <th scope="col">Counted up to</th>
                <th scope="col">Owner</th>
              </tr>
            </thead>
            <tbody>{streams.map(stream => <StreamRow key={stream.stream} stream={stream} status={status} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  )
}

/** StreamRow leaves open what only a process that knows the queue can tell. */
function StreamRow({stream, status}: {stream: Stream; status: Status}) {
  const queue = status.backlog !== null
  return (
    <tr>
      <th scope="row">{stream.stream}</th>
      <td className="number">{queue ? stream.epoch : '–'}</td>
      <td className="number">{queue ? count(stream.events) : '–'}</td>
      <td className="number">{stream.events > 0 ? span(stream.oldest_seconds) : '–'}</td>
      <td>{stream.as_of ? before(status, stream.as_of) : 'not yet'}</td>
      <td>{stream.owner || (queue ? 'nobody' : '–')}</td>
    </tr>
  )
}
