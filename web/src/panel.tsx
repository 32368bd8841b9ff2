// What all panels are made of.

import { useId, useState, type FormEvent, type ReactNode } from "react";

export function Panel(props: { title: string; wide?: boolean; aside?: ReactNode; children: ReactNode }) {
  const id = useId();
  return (
    <section aria-labelledby={id} className={props.wide ? "wide" : undefined}>
      <div className="title">
        <h2 id={id}>{props.title}</h2>
        {props.aside}
      </div>
      {props.children}
    </section>
  );
}

/** A table that scrolls sideways where it does not fit; reachable by keyboard for that. */
export function Table(props: { label: string; head: string[]; numeric?: number[]; children: ReactNode }) {
  return (
    <div className="scroll" role="region" aria-label={props.label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {props.head.map((title, at) => (
              <th key={title} scope="col" className={props.numeric?.includes(at) ? "number" : undefined}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{props.children}</tbody>
      </table>
    </div>
  );
}

/** A field to type an id into; what is looked up changes on submit. */
export function Lookup(props: { label: string; initial: string; children?: ReactNode; find: (id: string) => void }) {
  const [text, setText] = useState(props.initial);
  const id = useId();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    props.find(text.trim());
  };
  return (
    <form onSubmit={submit} className="lookup">
      <label htmlFor={id}>{props.label}</label>
      <div className="field">
        <input id={id} value={text} autoComplete="off" spellCheck={false} onChange={(event) => setText(event.target.value)} />
        <button type="submit">Look up</button>
      </div>
      {props.children}
    </form>
  );
}

export function Problem({ error }: { error: Error | null }) {
  return error ? (
    <p role="alert" className="problem">
      {error.message}
    </p>
  ) : null;
}
