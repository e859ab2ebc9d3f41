export function SitesPage() { return <main>sites</main> }
