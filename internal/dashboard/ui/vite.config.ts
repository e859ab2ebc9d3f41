import react from '@vitejs/plugin-react'
import {defineConfig} from 'vite'

// `npm run dev` shows the sources as they are, and asks the Daybook that runs
// on this machine.
const api = process.env.DAYBOOK_REPORT_URL ?? 'http://127.0.0.1:3001'

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // the policy of the page allows no data: but for images
    modulePreload: {polyfill: false},
    license: {fileName: 'licenses.md'} // of what is in the built files, as they ask for
  },
  server: {
    proxy: Object.fromEntries(['/stats', '/admin', '/session', '/status'].map(path => [path, {target: api, changeOrigin: true}]))
  }
})
