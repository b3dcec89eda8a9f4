export type MicroResult = { readonly name: string }
