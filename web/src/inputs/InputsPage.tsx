export function InputsPage({ account }: { readonly account: string }) {
  return <>{account}</>
}
