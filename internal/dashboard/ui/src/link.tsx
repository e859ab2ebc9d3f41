import type {ComponentProps, MouseEvent} from 'react'
import {go, sharedKey} from './route'

/** Link shows another view of the dashboard without loading it anew. */
export function Link({href, onClick, ...rest}: ComponentProps<'a'> & {href: string}) {
  const follow = (e: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(e)
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return
    e.preventDefault()
    go(href)
  }
  return <a {...rest} href={href + (sharedKey() && location.hash)} onClick={follow} />
}
