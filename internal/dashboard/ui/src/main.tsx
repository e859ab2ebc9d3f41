import {StrictMode} from 'react'
import {createRoot} from 'react-dom/client'
import {App} from './app'
import {showTheme} from './theme'
import './style.css'

showTheme()

createRoot(document.getElementById('root')!).render(<StrictMode><App /></StrictMode>)
