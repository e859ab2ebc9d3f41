export default function OperatorsPage() { return <main>operators</main> }
