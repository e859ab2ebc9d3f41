// The drawing of the chart. It alone needs uPlot, so it is a file of its own,
// which the numbers above it do not wait for.
import {useLayoutEffect, useRef, useState, type KeyboardEvent, type PointerEvent} from 'react'
import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

/** What is drawn. Everything goes by the index of the bucket; there is at least one. */
export interface Drawing {
  /** null is not known yet. */
  values: (number | null)[]
  /** The values of the period that is compared, if one is. */
  before?: (number | null)[]
  /** Which buckets the axis names where it has room for so many names. */
  ticks: (most: number) => number[]
  tick: (index: number) => string
  /** What there is to say of a bucket, its name first. */
  words: (index: number) => string[]
  /** How a number is written on the axis. */
  write: (n: number) => string
}

const clamp = (n: number, most: number) => Math.max(0, Math.min(n, most))

/** Plot draws, and tells of the bucket that is pointed at or reached by keys. */
export default function Plot({label, drawing}: {label: string; drawing: Drawing}) {
  const host = useRef<HTMLDivElement>(null)
  const tip = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot>(null)
  const [width, setWidth] = useState(0)
  const [chosen, setChosen] = useState<number>()
  const [shown, setShown] = useState(false)
  const last = drawing.values.length - 1
  const at = clamp(chosen ?? drawing.values.findLastIndex(v => v !== null), last)

  useLayoutEffect(() => {
    const element = host.current!
    const {values, before} = drawing
    const u = new UPlot(options(element, drawing), [values.map((_, i) => i), ...before ? [before] : [], values], element)
    plot.current = u
    const fit = () => {
      // A batch ends drawn: what comes next asks where things are.
      u.batch(() => u.setSize({width: element.clientWidth, height: element.clientHeight}))
      setWidth(element.clientWidth)
    }
    fit()
    const resized = new ResizeObserver(fit)
    resized.observe(element)
    const repaint = () => u.redraw()
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', repaint)
    const theme = new MutationObserver(repaint)
    theme.observe(document.documentElement, {attributeFilter: ['data-theme']})
    return () => {
      resized.disconnect()
      dark.removeEventListener('change', repaint)
      theme.disconnect()
      u.destroy()
    }
  }, [drawing])

  useLayoutEffect(() => {
    const u = plot.current!
    if (!shown) return u.setCursor({left: -1, top: -1})
    const left = u.valToPos(at, 'x')
    u.setCursor({left, top: 0})
    // Beside the line, on the side that has more room.
    const x = u.over.offsetLeft + left
    const [room, needed] = [host.current!.clientWidth, tip.current!.offsetWidth]
    tip.current!.style.left = `${clamp(x < room / 2 ? x + 12 : x - 12 - needed, room - needed)}px`
  }, [drawing, width, at, shown])

  const show = (index: number) => {
    setChosen(clamp(index, last))
    setShown(true)
  }
  const point = (e: PointerEvent) => {
    const u = plot.current!
    show(u.posToIdx(e.clientX - u.over.getBoundingClientRect().left))
  }
  const press = (e: KeyboardEvent) => {
    if (e.altKey || e.ctrlKey || e.metaKey) return
    if (e.key === 'Escape') return setShown(false)
    const page = Math.max(1, Math.round(last / 10))
    const target = {
      ArrowLeft: at - 1, ArrowDown: at - 1, PageDown: at - page, Home: 0,
      ArrowRight: at + 1, ArrowUp: at + 1, PageUp: at + page, End: last
    }[e.key]
    if (target === undefined) return
    e.preventDefault()
    show(target)
  }
  const words = drawing.words(at)
  return (
    <div className="plot" role="slider" tabIndex={0} aria-label={label}
      aria-valuemin={0} aria-valuemax={last} aria-valuenow={at} aria-valuetext={words.join('; ')}
      onKeyDown={press} onFocus={() => setShown(true)} onBlur={() => setShown(false)}
      onPointerDown={point} onPointerMove={point}
      // A finger that is lifted has left, too, but whoever lifts it wants to read.
      onPointerLeave={e => e.pointerType === 'mouse' && setShown(false)}>
      <div ref={host} className="canvas" aria-hidden="true" />
      <div ref={tip} className="tip" hidden={!shown}>
        {words.map((text, i) => i === 0 ? <strong key={i}>{text}</strong> : <span key={i}>{text}</span>)}
      </div>
    </div>
  )
}

/** Numbers on the axis are whole, as are those that are counted. */
const steps = Array.from({length: 15}, (_, e) => [1, 2, 5].map(n => n * 10 ** e)).flat()

/** The room that a name on the axis below needs, and the names on the left have, in pixels. */
const tickWidth = 70
const axisWidth = 44

function options(host: HTMLElement, {values, before, ticks, tick, write}: Drawing): UPlot.Options {
  const last = values.length - 1
  // A canvas does not know the properties of the page, an element of it does.
  const colour = (css: string) => (u: UPlot) => {
    u.under.style.color = css
    return getComputedStyle(u.under).color
  }
  const line = (data: Drawing['values'], css: string): UPlot.Series => ({
    stroke: colour(css),
    width: 2,
    // A line through one point alone cannot be seen.
    points: {show: data.filter(v => v !== null).length <= 2, size: 8, fill: colour(css)}
  })
  const axis: UPlot.Axis = {
    stroke: colour('var(--soft)'),
    font: '12px ' + getComputedStyle(host).fontFamily,
    ticks: {show: false}
  }
  return {
    width: host.clientWidth,
    height: host.clientHeight,
    legend: {show: false},
    cursor: {y: false, drag: {x: false}},
    scales: {
      x: {time: false, range: last === 0 ? [-1, 1] : [0, last]},
      y: {range: (_, _min, max) => [0, UPlot.rangeNum(0, Math.max(1, max), 0.1, true)[1]]}
    },
    series: [
      {},
      ...before ? [{...line(before, 'var(--other)'), dash: [6, 4]}] : [],
      {...line(values, 'var(--accent)'), fill: colour('color-mix(in srgb, var(--accent) 14%, transparent)')}
    ],
    axes: [
      {
        ...axis,
        size: 30,
        gap: 8,
        grid: {show: false},
        splits: u => ticks(Math.max(1, Math.floor((u.width - axisWidth) / tickWidth))),
        values: (_, indices) => indices.map(tick)
      },
      {
        ...axis,
        size: axisWidth,
        space: 40,
        incrs: steps,
        grid: {stroke: colour('var(--line)'), width: 1},
        values: (_, numbers) => numbers.map(write)
      }
    ]
  }
}
