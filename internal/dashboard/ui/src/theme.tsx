// Light or dark: as the system has it, or as was chosen in this browser.
import {useState} from 'react'

const themes = {system: 'As the system', light: 'Light', dark: 'Dark'}
type ThemeName = keyof typeof themes

/** remembered is the theme that was chosen, if the browser lets pages remember anything. */
function remembered(): ThemeName {
  try {
    const name = localStorage.getItem('theme')
    return name === 'light' || name === 'dark' ? name : 'system'
  } catch {
    return 'system'
  }
}

/** showTheme gives the page its theme. */
export function showTheme(theme = remembered()) {
  document.documentElement.dataset.theme = theme
}

export function Theme() {
  const [theme, setTheme] = useState(remembered)
  const choose = (name: ThemeName) => {
    setTheme(name)
    showTheme(name)
    try {
      localStorage.setItem('theme', name)
    } catch {
      // It is chosen until the page is left.
    }
  }
  return (
    <select aria-label="Colours" value={theme} onChange={e => choose(e.target.value as ThemeName)}>
      {Object.entries(themes).map(([name, label]) => <option key={name} value={name}>{label}</option>)}
    </select>
  )
}
