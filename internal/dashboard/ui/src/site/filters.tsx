// Which events count: what the filters are, and how one more is made.
import {useRef, useState, type FormEvent} from 'react'
import {dimensionName, valueName} from '../format'
import {cards, filterText, go, viewPath, type Dimension, type Filter, type Operator, type View} from '../route'

const operators: Record<Exclude<Operator, ''>, string> = {'==': 'is', '!=': 'is not', '~': 'is like'}

/** canFilter tells whether events have the dimension: entry and exit pages are of visits. */
export const canFilter = (dimension: Dimension) => dimension !== 'entry_page' && dimension !== 'exit_page'

/** withFilter is the view with one more filter. */
export function withFilter(view: View, filter: Filter): string {
  const there = view.filters.some(f => filterText(f) === filterText(filter))
  return viewPath({...view, detail: '', page: 1, filters: there ? view.filters : [...view.filters, filter]})
}

export function Filters({view}: {view: View}) {
  const [open, setOpen] = useState(false)
  const more = useRef<HTMLButtonElement>(null)
  const show = (filters: Filter[]) => go(viewPath({...view, filters, detail: '', page: 1}))
  // What was pressed goes away with the filter.
  const remove = (left: Filter[]) => {
    show(left)
    more.current!.focus()
  }
  const add = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    setOpen(false)
    more.current!.focus()
    go(withFilter(view, {dimension: String(form.get('dimension')), operator: form.get('operator') as Operator, value: String(form.get('value'))}))
  }
  return (
    <section className="filters" aria-label="Filters">
      <ul>
        {view.filters.map((f, i) => {
          const text = f.operator === '' ? f.dimension : `${dimensionName(f.dimension)} ${operators[f.operator]} ${valueName(f.dimension, f.value)}`
          const others = view.filters.filter((_, j) => j !== i)
          return (
            <li key={i} className="chip">
              <span>{text}</span>
              {(f.operator === '==' || f.operator === '!=') && (
                <button type="button" className="plain" onClick={() => show(view.filters.with(i, {...f, operator: f.operator === '==' ? '!=' : '=='}))}>
                  {f.operator === '==' ? 'exclude' : 'only'}<span className="unseen"> {valueName(f.dimension, f.value)}</span>
                </button>
              )}
              <button type="button" className="plain" aria-label={`Remove the filter: ${text}`} title="Remove" onClick={() => remove(others)}>✕</button>
            </li>
          )
        })}
        {view.filters.length > 1 && <li><button type="button" className="plain" onClick={() => remove([])}>Remove all</button></li>}
        <li><button ref={more} type="button" className="plain" aria-expanded={open} onClick={() => setOpen(!open)}>+ Filter</button></li>
      </ul>
      {open && (
        <form className="row" onSubmit={add}>
          <select name="dimension" aria-label="Dimension">
            {Object.values(cards).flat().filter(canFilter).map(d => <option key={d} value={d}>{dimensionName(d)}</option>)}
          </select>
          <select name="operator" aria-label="Operator">
            {Object.entries(operators).map(([operator, name]) => <option key={operator} value={operator}>{name}</option>)}
          </select>
          <input name="value" aria-label="Value" placeholder="/blog/* with “is like”" autoFocus />
          <button type="submit" className="primary">Add</button>
        </form>
      )}
    </section>
  )
}
