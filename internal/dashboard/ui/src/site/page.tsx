import type {View} from '../route'
export function SitePage({view}: {view: View}) { return <main>{view.site}</main> }
