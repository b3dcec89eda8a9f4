import type { Api } from './command.ts'

const perPage = 1_000

/** All pages of a list. */
export async function listAll<Item>(api: Api, path: string): Promise<Item[]> {
  const all: Item[] = []
  for (let page = 1; ; page++) {
    const { result } = await api.call<Item[]>('GET', `${path}?page=${page}&per_page=${perPage}`)
    all.push(...result)
    if (result.length < perPage) return all
  }
}
